"""The vertices of a graph in the making: steps in order, and sources that are there once."""

from __future__ import annotations

from builder.diagnostics import Span
from builder.dockerfile import rootpaths
from builder.dockerfile.mounts import CACHE, Mount
from builder.dockerfile.stages import ImageNeeded
from builder.graph.operations import SCRATCH, CopyOp, CopySource, ImageSource, Op, literal
from builder.graph.vertex import Vertex


class Vertices:
    """Vertices with the names of their stages, "" for sources."""

    def __init__(self) -> None:
        self._vertices: list[Vertex] = []
        self._stages: list[str] = []
        self._shared: dict[tuple[Op, tuple[int, ...]], int] = {}

    def all(self) -> tuple[Vertex, ...]:
        """Return the vertices, each after its inputs."""
        return tuple(self._vertices)

    def stages(self) -> tuple[str, ...]:
        """Return the stage of each vertex."""
        return tuple(self._stages)

    def add(self, vertex: Vertex, stage: str) -> int:
        """Add a vertex and return its index."""
        self._vertices.append(vertex)
        self._stages.append(stage)
        return len(self._vertices) - 1

    def shared(
        self,
        operation: Op,
        name: str,
        stage: str = "",
        span: Span | None = None,
        inputs: tuple[int, ...] = (),
    ) -> int:
        """Return the vertex of a source, or of an operation on sources, which is there once."""
        key = (operation, inputs)
        if key not in self._shared:
            vertex = Vertex(op=operation, inputs=inputs, name=name, span=span)
            self._shared[key] = self.add(vertex, stage)
        return self._shared[key]

    def scratch(self) -> int:
        """Return the vertex of the empty state."""
        return self.shared(SCRATCH, "FROM scratch")

    def image(self, image: ImageNeeded, name: str, stage: str) -> int:
        """Return the vertex of an image."""
        operation = ImageSource(reference=image.reference, platform=image.platform)
        return self.shared(operation, name, stage, image.span)

    def taken(self, mount: Mount, source: int, where: str, span: Span) -> int:
        """Return the vertex of what a mount takes from a context, at the same path, or a new cache from anywhere."""
        path = rootpaths.clean(mount.source)[1:]
        operation = CopyOp(
            sources=(CopySource(input=1, paths=(literal(path),)),),
            dest="/",
            parents=bool(path) and mount.type != CACHE,
        )
        name = f"[internal] take /{path} from {where} for a mount"
        return self.shared(operation, name, span=span, inputs=(self.scratch(), source))
