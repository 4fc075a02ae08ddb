"""The files that say where registries are and how they are known: found, read and asked, each when it is needed.

registries.conf, registries.conf.d/*.conf     names, mirrors, blocked and insecure registries   containers
certs.d/HOST/{*.crt,*.cert,*.key}             authorities and our certificates                  Docker, containers
certs.d/HOST/hosts.toml                       places of one registry                            containerd, Docker
daemon.json                                   insecure registries, mirrors of Docker Hub        Docker
"""

from __future__ import annotations

import threading

import msgspec

from builder.errors import RegistryError
from builder.oci.reference import Reference
from builder.registry import daemon_json, hosts_toml, registries_conf, rules
from builder.registry.daemon_json import DaemonJson
from builder.registry.endpoint import INSECURE, ORDINARY, Endpoint, Need, Trust, direct
from builder.registry.files import Files
from builder.registry.hosts_toml import HostsToml
from builder.registry.rules import RegistriesConf

_DEFAULT = "_default"


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where configuration may lie: host directories of the machine, of the user, and of Docker's client.

    `registries_conf` is the one file that is read in the place of those found there.
    """

    user: str
    docker: str
    system: str = "/etc"
    registries_conf: str | None = None


class Configuration:
    """What is configured, as the routes of a client; nothing is read before it is asked for, and nothing twice.

    `insecure` are hosts, with their ports, that the user calls so.
    """

    def __init__(self, places: Places, insecure: tuple[str, ...] = ()) -> None:
        self._places = places
        self._insecure = frozenset(map(str.lower, insecure))
        self._lock = threading.RLock()
        self._conf: RegistriesConf | None = None
        self._daemon: DaemonJson | None = None
        self._hosts: dict[str, HostsToml | None] = {}
        self._trusts: dict[str, Trust] = {}
        self._files = Files()
        # Engines run as root, and may keep their files to themselves.
        self._engines = Files(others=places.system)

    @property
    def read(self) -> tuple[str, ...]:
        """The files that were read, in that order."""
        return (*self._files.read, *self._engines.read)

    @property
    def closed(self) -> tuple[str, ...]:
        """Files and directories of engines that we may not read."""
        return tuple(self._engines.closed)

    def endpoints(self, reference: Reference, need: Need, /) -> tuple[Endpoint, ...]:
        """Return where a reference can be reached for a need, in order, with all that is configured of each place.

        Raises: RegistryError: `registry.blocked`; `registry.config`, a file cannot be used.
        """
        return tuple(map(self._known, self._found(reference, need)))

    def trust(self, authority: str) -> Trust:
        """Return how a host, with its port, is known wherever it occurs.

        Raises: RegistryError: `registry.config`, its certificates cannot be found.
        """
        with self._lock:
            found = self._trusts.get(authority)
            if found is None:
                found = self._trusts[authority] = self._trust(authority)
            return found

    def names(self, short: str, reference: Reference) -> tuple[Reference, ...]:
        """Return what a name may mean, in order; see `RegistriesConf.names`."""
        return self.conf.names(short, reference)

    @property
    def conf(self) -> RegistriesConf:
        """What `registries.conf` and its drop-ins say together."""
        with self._lock:
            if self._conf is None:
                self._conf = rules.merged(
                    [registries_conf.parse(path, text) for path, text in self._conf_files()]
                )
            return self._conf

    @property
    def daemon(self) -> DaemonJson:
        """What Docker's engine on this machine is told of registries."""
        with self._lock:
            if self._daemon is None:
                places = self._places
                paths = (f"{places.user}/docker/daemon.json", f"{places.system}/docker/daemon.json")
                found = self._engines.first(paths)
                self._daemon = DaemonJson() if found is None else daemon_json.parse(*found)
            return self._daemon

    def hosts(self, registry: str) -> HostsToml | None:
        """Return what a `hosts.toml` says of a registry, None if there is none."""
        with self._lock:
            if registry not in self._hosts:
                places = self._places
                containerd = f"{places.system}/containerd/certs.d"
                directories = [
                    f"{directory}/{name}"
                    for directory in (containerd, *self._docker_directories())
                    for name in _directories_of(registry)
                ]
                files = [f"{each}/hosts.toml" for each in directories]
                found = self._engines.first((*files, f"{containerd}/{_DEFAULT}/hosts.toml"))
                self._hosts[registry] = (
                    None if found is None else hosts_toml.parse(*found, registry)
                )
            return self._hosts[registry]

    def _found(self, reference: Reference, need: Need) -> tuple[Endpoint, ...]:
        rule = self.conf.rule_for(reference)
        own = direct(reference, why="it is what the name says")
        if rule is not None:
            rules.check(rule, reference)
            if need is not Need.PUSH and rule.leads_elsewhere:
                return rules.endpoints(rule, reference)
            own = msgspec.structs.replace(own, trust=INSECURE if rule.insecure else ORDINARY)
        hosts = self.hosts(reference.registry)
        if hosts is not None:
            found = hosts.endpoints(reference, need)
            return found[:1] if need is Need.PUSH else found
        if need is Need.PUSH:
            return (own,)
        return (*self.daemon.endpoints(reference), own)

    def _known(self, endpoint: Endpoint) -> Endpoint:
        """Add what is known of the host wherever it occurs."""
        trust = joined(endpoint.trust, self.trust(endpoint.authority))
        if endpoint.registry != endpoint.authority:
            trust = joined(trust, self.trust(endpoint.registry))
        return msgspec.structs.replace(endpoint, trust=trust)

    def _trust(self, authority: str) -> Trust:
        places = self._places
        directories = [
            f"{directory}/{name}"
            for directory in (
                f"{places.user}/containers/certs.d",
                f"{places.system}/containers/certs.d",
                *self._docker_directories(),
                f"{places.system}/containerd/certs.d",
            )
            for name in _directories_of(authority)
        ]
        trust = Trust(verified=not self._is_insecure(authority), plain=self._is_insecure(authority))
        for directory in directories:
            trust = joined(trust, self._certificates(directory))
        return trust

    def _is_insecure(self, authority: str) -> bool:
        spellings = {authority, authority.removesuffix(":443"), authority.removesuffix(":80")}
        if spellings & self._insecure:
            return True
        return any(_covers(each, authority) for each in self.daemon.insecure)

    def _docker_directories(self) -> tuple[str, ...]:
        places = self._places
        return (
            f"{places.docker}/certs.d",
            f"{places.user}/docker/certs.d",
            f"{places.system}/docker/certs.d",
        )

    def _certificates(self, directory: str) -> Trust:
        """Return what lies in the directory of a host: `*.crt` are authorities, `*.cert` and `*.key` are ours."""
        names = self._engines.names(directory)
        authorities = tuple([f"{directory}/{each}" for each in names if each.endswith(".crt")])
        client: tuple[str, str] | None = None
        for name in names:
            if name.endswith(".cert"):
                key = name.removesuffix(".cert") + ".key"
                if key not in names:
                    raise RegistryError(
                        f"there is no key `{key}` beside `{directory}/{name}`",
                        code="registry.config",
                        notes=("files that end in `.cert` are our own certificates",),
                        hint="add the key; an authority's certificate ends in `.crt`",
                    )
                client = client or (f"{directory}/{name}", f"{directory}/{key}")
        self._engines.read.update(dict.fromkeys((*authorities, *(client or ()))))
        return Trust(authorities=authorities, client=client)

    def _conf_files(self) -> list[tuple[str, str]]:
        places = self._places
        own = f"{places.user}/containers/registries.conf"
        system = f"{places.system}/containers/registries.conf"
        directories = [f"{system}.d", f"{own}.d"]
        first: tuple[str, str] | None
        if places.registries_conf is not None:
            text = self._files.text(places.registries_conf)
            if text is None:
                raise RegistryError(
                    f"there is no `{places.registries_conf}`",
                    code="registry.config",
                    hint="correct `CONTAINERS_REGISTRIES_CONF`",
                )
            first = (places.registries_conf, text)
        else:
            first = self._files.first((own,))
            if first is not None:
                directories = [f"{own}.d"]
            else:
                first = self._files.first((system,))
        found = [] if first is None else [first]
        for directory in directories:
            found += self._drop_ins(directory)
        return found

    def _drop_ins(self, directory: str) -> list[tuple[str, str]]:
        names = self._files.names(directory)
        paths = [f"{directory}/{name}" for name in names if name.endswith(".conf")]
        return [(path, text) for path in paths if (text := self._files.text(path)) is not None]


def joined(one: Trust, other: Trust) -> Trust:
    """Put together what two places say of a host: more authorities, and as little care as one of them wants."""
    return Trust(
        authorities=tuple(dict.fromkeys((*one.authorities, *other.authorities))),
        client=one.client or other.client,
        verified=one.verified and other.verified,
        plain=one.plain or other.plain,
    )


def _directories_of(registry: str) -> tuple[str, ...]:
    """Return the names of a host's directory; where a file system has no colons, containerd writes `host_5000_`."""
    if "/" in registry or registry in ("", ".", "..", _DEFAULT):
        return ()
    host, colon, port = registry.rpartition(":")
    return (registry, f"{host}_{port}_") if colon and port.isdecimal() else (registry,)


def _covers(pattern: str, authority: str) -> bool:
    """Tell whether an insecure registry of Docker's engine, a host or a network, is meant."""
    if "/" not in pattern:
        return pattern in (authority, authority.removesuffix(":443"), authority.removesuffix(":80"))
    import ipaddress

    host = authority.rpartition(":")[0] if not authority.endswith("]") else authority
    host = host if authority.count(":") else authority
    try:
        return ipaddress.ip_address(host.strip("[]")) in ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return False
