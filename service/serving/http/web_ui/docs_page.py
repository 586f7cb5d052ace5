"""`GET /docs`: Swagger UI, with the files of this package, so that it needs no other server.

Its addresses are relative, so that a proxy may serve it below any path.
"""

import hashlib
import re
from base64 import b64encode
from typing import Any

from fastapi.openapi.docs import get_swagger_ui_html

_PARAMETERS: dict[str, Any] = {
    "deepLinking": True,
    "validatorUrl": None,  # the document is not sent to a validator elsewhere
}


def docs_page(title: str) -> tuple[bytes, str]:
    """Returns the page, and its Content-Security-Policy.

    The policy names the inline script of the page by its digest, and allows requests to the service
    only. Swagger UI sets styles of single elements.
    """
    page = bytes(
        get_swagger_ui_html(
            openapi_url="openapi.json",
            title=title,
            swagger_js_url="page/swagger-ui-bundle.js",
            swagger_css_url="page/swagger-ui.css",
            swagger_favicon_url="page/icon.svg",
            swagger_ui_parameters=_PARAMETERS,
        ).body
    )
    digests = [
        b64encode(hashlib.sha256(script).digest()).decode()
        for script in re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    ]
    policy = (
        "default-src 'none'",
        "base-uri 'none'",
        "connect-src 'self'",
        "font-src data:",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "img-src 'self' data:",
        " ".join(("script-src 'self'", *(f"'sha256-{digest}'" for digest in digests))),
        "style-src 'self' 'unsafe-inline'",
    )
    return page, "; ".join(policy)
