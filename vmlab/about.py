"""What a command's directory says of itself: of which project it is, and what was to be run."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from vmlab.errors import UsageError

FILE = "about.json"


class About(BaseModel):
    """Keys that are not known are left out: a later version may have more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 1
    project: str  # its name
    identity: str  # the same in every checkout of it
    shard: tuple[int, int] | None = None  # number, from 1, and of how many
    wanted: Sequence[tuple[str, str]] = ()  # scenarios' and kernels' names

    def write(self, directory: Path) -> None:
        """Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / FILE).write_text(self.model_dump_json(indent=1) + "\n")


def of_directory(directory: Path) -> About:
    """Raises UsageError where it does not say so."""
    path = directory / FILE
    if not directory.is_dir():
        raise UsageError(f"there is no directory {directory}")
    try:
        return About.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"{directory} does not say of which project its runs are ({FILE}: "
            f"{(error.strerror or str(error)).lower()}); name a directory DATE-TIME-PID-N that "
            "`vmlab run` made below vmlab-out"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{path}: {first['msg'].lower()}; it is not as it was written") from error
