"""The section `teacher`: a larger model that labels the texts which the network is trained on."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gatewise.training.config.section import Section

_COPIES, _MAX_COPIES = 40, 100
_FEW_TEXTS, _MAX_TEXTS = 20_000, 300_000
"""Changed copies of all rows: below the first there are more than `_COPIES` of each row, and above
the second fewer."""

DEFAULT_PROMPT = (
    "Which of these labels fits the text best?\n\n{labels}\n\n"
    "Answer with the name of one label, exactly as it is written here, and nothing else.\n\n"
    "Text: {text}\n\nLabel:"
)


class TeacherConfig(Section):
    """A larger model that labels the training texts and changed copies of them."""

    folders: tuple[Path, ...] = Field(
        (),
        description="Folders of the teacher: a text encoder in the layout of Hugging Face (in ONNX "
        "or safetensors), or a Gatewise model folder with the labels of the corpus. The "
        "probabilities of several are averaged.",
    )
    url: str | None = Field(
        None,
        description="Base URL of an endpoint with OpenAI's chat completions: its "
        "language model labels texts. The key, if it wants one, is "
        "in the environment variable `OPENAI_API_KEY`.",
    )
    model: str | None = Field(
        None,
        description="Name of the endpoint's model; needed where it has several.",
    )
    descriptions: dict[str, str] | None = Field(
        None,
        description="What labels mean, by label, for the prompt of the endpoint; the others are "
        "given to it by their names alone.",
    )
    prompt: str = Field(
        DEFAULT_PROMPT,
        description="What the endpoint is asked, with `{text}` where the text is to be and "
        "`{labels}`, if wanted, where the list of the labels with their descriptions is.",
    )
    votes: Annotated[int, Field(ge=1, le=100)] = Field(
        5,
        description="Answers to each text where the endpoint gives no log-probabilities: the "
        "probability of a label is its share of them.",
    )
    mode: Literal["auto", "frozen", "fine_tuned"] = Field(
        "auto",
        description="How an encoder is made a classifier: with its weights as they are (`frozen`), "
        "by a logistic regression on its vectors of the training texts; or with all its weights "
        "trained on these texts (`fine_tuned`), from safetensors. `auto` takes the better on the "
        "validation rows, and does not fine-tune if that would take longer than half of "
        "`teacher.minutes`, by default 20 minutes.",
    )
    unlabelled: tuple[Path, ...] = Field(
        (),
        description="Files of texts without labels, which the teacher labels: the same formats as "
        "a corpus, of which the text column is read.",
    )
    copies: Annotated[int, Field(ge=0, le=100)] | Literal["auto"] = Field(
        "auto",
        description="Changed copies of each training text, labelled by the teacher; by default 40; "
        "more of fewer than 500 rows, up to 100, for 20,000 in all; fewer from 7,500 rows on, "
        "so that there are at most 300,000; none by default with an endpoint, where each costs a "
        "request.",
    )
    temperature: Annotated[float, Field(gt=0, le=20)] = Field(
        1.0,
        description="What the teacher's logits are divided by: above 1, improbable labels count "
        "more in the targets.",
    )
    hard_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5,
        description="Share of the true label in the target of a training row; the rest is the "
        "teacher's probabilities. Copies and unlabelled texts have no true label.",
    )
    minutes: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Minutes that the teacher may take to be fine-tuned, half of them at most, and "
        "to label texts; copies that would take longer are left out. By default unlimited.",
    )
    cache: Path | None = Field(
        None,
        description="Folder in which the teacher's results are kept, by text, for later runs; by "
        "default one beside the model folder, with `.teacher` after its name.",
    )
    untaught: bool = Field(
        True,
        description="Whether the network is also trained without the teacher, to compare the two "
        "in the report.",
    )

    @model_validator(mode="after")
    def _prompt_has_places(self) -> Self:
        if "{text}" not in self.prompt:
            raise ValueError("teacher.prompt: expected {text} where the text is to be")
        if self.descriptions and "{labels}" not in self.prompt:
            raise ValueError(
                "teacher.descriptions: expected {labels} in teacher.prompt, where they are to be"
            )
        return self

    @property
    def is_wanted(self) -> bool:
        """Whether there is a teacher."""
        return bool(self.folders) or self.url is not None

    def copies_of(self, rows: int) -> int:
        """The changed copies of each text, at most.

        Args:
            rows: Training rows.
        """
        if self.copies != "auto":
            return self.copies
        if self.url is not None:
            return 0
        copies = min(_MAX_COPIES, max(_COPIES, _FEW_TEXTS // max(rows, 1)))
        return min(copies, _MAX_TEXTS // max(rows, 1))


def is_url(teacher: str) -> bool:
    """Whether a teacher is named by the URL of an endpoint, and not by a folder.

    >>> is_url("https://127.0.0.1/v1"), is_url("http")
    (True, False)
    """
    return teacher.startswith(("http://", "https://"))
