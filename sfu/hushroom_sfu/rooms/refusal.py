"""A request that cannot be carried out, though whoever made it stays in the room."""

from hushroom_common.errors import HushroomError
from hushroom_common.ids import ParticipantId, PublicationId
from hushroom_common.signaling.messages import CloseCode

__all__ = ["Refusal"]


class Refusal(HushroomError):
    """A well-formed request was refused: tell its sender `code` and go on."""

    def __init__(
        self,
        code: CloseCode,
        message: str,
        *,
        publication: PublicationId | None = None,
        publisher: ParticipantId | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.publication = publication
        self.publisher = publisher
