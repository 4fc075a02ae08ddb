"""Every way lapstrake refuses or fails; each leaf has a code, which is a page in `docs/errors`.

    LapstrakeError                 code, message, span?, notes, hint, exit_code
    ├── UsageError                 usage
    ├── OutputError                output
    ├── DockerfileError            dockerfile.*: syntax unknown-instruction unknown-flag bad-expansion
    │                              unknown-stage stage-cycle unsupported empty not-found
    ├── ContextError               context.*: missing-source outside-context not-found bad-ignore changed
    │                              left-out
    ├── ReferenceInvalid           reference.invalid
    ├── ImageError                 image.*: invalid not-found in-use
    ├── RegistryError              registry.*: unauthorized not-found rate-limited unavailable protocol
    │                              config helper blocked
    ├── SourceError                source.*: unavailable not-found unauthorized checksum-mismatch too-large
    │                              git-failed no-git
    ├── StoreError                 store.*: digest-mismatch busy newer-schema no-space limit foreign-map corrupt
    ├── LayerError                 layer.*: invalid too-large changed foreign-owner
    ├── BuildError                 build.*: run-failed copy-failed no-isolation cancelled start-failed
    │                              secret-missing secret-unusable secret-unused
    │                              secret-leaked not-found
    ├── ExportError                export.*: failed no-space left-out
    └── ContainerError             container.*: not-found start-failed

The runtime has a tree of its own (`runtime.errors`), translated in `builder.solve.translate`.
"""

from __future__ import annotations

from builder.diagnostics import Diagnostic, Severity, SourceFile, Span


class LapstrakeError(Exception):
    """The root: something that a person can be told, and usually act on."""

    default_code = "internal"
    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        span: Span | None = None,
        source: SourceFile | None = None,
        notes: tuple[str, ...] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.span = span
        self.source = source
        self.notes = notes
        self.hint = hint

    def diagnostic(self) -> Diagnostic:
        """Return what to tell the user."""
        return Diagnostic(
            severity=Severity.ERROR,
            code=self.code,
            message=self.message,
            span=self.span,
            source=self.source,
            notes=self.notes,
            hint=self.hint,
        )

    def located(self, span: Span | None, source: SourceFile | None) -> LapstrakeError:
        """Add the place, where it is not known yet, and return self."""
        if self.span is None:
            self.span = span
        if self.source is None and self.span is not None:
            self.source = source
        return self


class UsageError(LapstrakeError):
    """The command line asks for something that cannot be done."""

    default_code = "usage"
    exit_code = 125


class TemplateRefused(UsageError):
    """The template of a `--format` cannot be read; the exit code is Docker's for that."""

    exit_code = 64


class TemplateFailed(LapstrakeError):
    """The template of a `--format` asks for what is not there."""

    default_code = "usage"


class OutputError(LapstrakeError):
    """What was asked for could not be written to standard output."""

    default_code = "output"


class DockerfileError(LapstrakeError):
    """The Dockerfile cannot be read or asks for something impossible."""

    default_code = "dockerfile.syntax"


class DockerfileErrors(DockerfileError):
    """Several independent mistakes in one Dockerfile, each a diagnostic of its own, and how many `more` there are."""

    def __init__(self, errors: tuple[LapstrakeError, ...], *, more: int = 0) -> None:
        first = errors[0]
        super().__init__(
            first.message,
            code=first.code,
            span=first.span,
            source=first.source,
            notes=first.notes,
            hint=first.hint,
        )
        self.errors = errors
        self.more = more

    def located(self, span: Span | None, source: SourceFile | None) -> LapstrakeError:
        """Add the file to each mistake that has a place in it."""
        for error in self.errors:
            error.located(error.span, source)
        return super().located(span, source)


class ContextError(LapstrakeError):
    """The build context lacks or forbids what was asked of it."""

    default_code = "context.missing-source"


class ReferenceInvalid(LapstrakeError):
    """A text is not an image reference, digest or platform."""

    default_code = "reference.invalid"


class ImageError(LapstrakeError):
    """An image document is invalid, or no such image is here."""

    default_code = "image.invalid"


class RegistryError(LapstrakeError):
    """A registry refused, could not be reached or broke the protocol."""

    default_code = "registry.unavailable"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        request: str | None = None,
        temporary: bool = False,
        pause: float | None = None,
        notes: tuple[str, ...] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, notes=notes, hint=hint)
        self.status = status
        self.request = request
        self.temporary = temporary
        self.pause = pause
        """Seconds that it wants not to be asked again for, if it said so."""


class SourceError(LapstrakeError):
    """A download or a git repository cannot be had, or is not what was asked for."""

    default_code = "source.unavailable"


class StoreError(LapstrakeError):
    """The local store is busy, full, damaged or not ours."""

    default_code = "store.corrupt"


class LayerLost(StoreError):
    """All forms of a layer are gone or damaged; they have been forgotten, so that it can be made again."""

    def __init__(self, diff_id: str, *, notes: tuple[str, ...] = ()) -> None:
        super().__init__(
            f"no usable form of layer {diff_id[:19]}… is left",
            notes=notes,
            hint="build the image again; if it was pulled, pull it again",
        )
        self.diff_id = diff_id


class LayerError(LapstrakeError):
    """A layer is malformed, hostile or over a limit."""

    default_code = "layer.invalid"


class BuildError(LapstrakeError):
    """A step of the build failed."""

    default_code = "build.failed"


class RunFailed(BuildError):
    """The command of a RUN ended with a code other than 0; `kept` is the diff id of what it wrote, "" where that is gone."""

    default_code = "build.run-failed"

    def __init__(
        self,
        message: str,
        *,
        command_exit_code: int,
        code: str | None = None,
        span: Span | None = None,
        notes: tuple[str, ...] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, span=span, notes=notes, hint=hint)
        self.command_exit_code = command_exit_code
        self.kept = ""


class Cancelled(BuildError):
    """The build was interrupted; `exit_code` says by which signal (128 + its number)."""

    default_code = "build.cancelled"

    def __init__(self, message: str = "interrupted", *, signal_number: int = 2) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class ExportError(LapstrakeError):
    """A result could not be written where it was asked for."""

    default_code = "export.failed"


class ContainerError(LapstrakeError):
    """A container could not be started or found."""

    default_code = "container.not-found"
    exit_code = 125
