"""What a registry can be asked and told about names, without a store."""

from __future__ import annotations

from builder.engine.lookup import Lookup
from builder.errors import UsageError
from builder.export.destination import never
from builder.oci.digest import Digest
from builder.oci.reference import Reference
from builder.settings import Settings

_TRANSPORT = "docker://"


class Remote:
    """The registries as settings say how to reach them. Names may have skopeo's `docker://` before them."""

    def __init__(self, settings: Settings) -> None:
        self._client = Lookup(settings, never).client()

    def tags(self, repository: str) -> tuple[str, ...]:
        """Return all tags of a repository, in the registry's order.

        Raises: UsageError: one tag or digest is named. RegistryError: it is not there.
        """
        bare = repository.removeprefix(_TRANSPORT)
        reference = Reference.parse(bare)
        if reference.digest is not None or ":" in bare.rpartition("/")[2]:
            raise UsageError(
                "tags are listed of a repository",
                hint=f"name it alone: `{reference.familiar_name}`",
            )
        return self._client.list_tags(reference)

    def delete(self, name: str) -> Digest:
        """Take what a name stands for out of its registry, with all tags that lead to it; return its digest.

        Raises: RegistryError: it is not there, or the registry does not delete.
        """
        reference = Reference.parse(name.removeprefix(_TRANSPORT))
        digest = reference.digest or self._client.head_manifest(reference).digest
        self._client.delete_manifest(reference.with_digest(digest))
        return digest
