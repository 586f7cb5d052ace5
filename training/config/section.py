"""What every section of the config has in common. Knows no setting."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Settings that belong together: frozen, of exact types, and none but those declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)
