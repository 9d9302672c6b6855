"""The wire: every operation that the apply program carries out on a host, as a typed value. It sends nothing.

Each class is one function `do_*` of scripts/apply: its name in the program's spelling, its fields in the order of the
function's arguments, and how it may answer. A test holds the two against each other, both ways.
"""

from __future__ import annotations

from typing import Literal

from kprov.apply.wire_format import Operation

# Files, folders and programs. Modes are octal, as chmod takes them; payload: the name of what was attached.


class File(Operation):
    payload: str
    path: str
    owner: str
    group: str
    mode: str
    sha256: str


class Directory(Operation):
    """content: what becomes of what is in it when it goes: `keep`, `purge`, or `data` (kprov.plan.host.DATA)."""

    path: str
    owner: str
    group: str
    mode: str
    content: str


class Mode(Operation):
    path: str
    owner: str
    group: str
    mode: str


class Check(Operation, answers=("ok", "note")):
    """Asks a program about the new file before that gets its name. words: program and arguments, `{}` for the file."""

    path: str
    words: tuple[str, ...]


class Adopt(Operation):
    """Records what is right already. value: the hash of content, `-` where there is none."""

    kind: str
    name: str
    value: str


Encoding = Literal["raw", "gzip", "archive"]


class Binary(Operation):
    """source: a payload or a URL. member: of an archive. download_sha256: of what the URL gives."""

    path: str
    mode: str
    sha256: str
    source: str
    encoding: Encoding
    member: str = ""
    download_sha256: str = ""


class Image(Operation):
    """name: reference, and the socket of its store unless that is containerd's. sha256: of the tar."""

    name: str
    source: str
    encoding: Encoding
    sha256: str


class PinImage(Operation):
    """Keeps kubelet from removing an image that is stored already. name: as for `Image`."""

    name: str


# What was there before comes back: `absent`, `saved`, a value, or `present MODE OWNER GROUP`.


class Remove(Operation):
    kind: str
    path: str
    before: str


class RemoveDirectory(Operation):
    path: str
    before: str
    content: str


class RemoveImage(Operation):
    name: str


# Accounts, packages, kernel.


class User(Operation):
    name: str
    home: str


class RemoveUser(Operation):
    """before: `absent` or `present` of the account, and of the group of its name. value: whether the account is marked."""

    name: str
    before: str
    value: str


class Package(Operation):
    """command: the program it is desired for. service: its own, which is kept from starting."""

    name: str
    command: str
    service: str
    manager: str


class BeginPackages(Operation):
    """Installs packages beside what comes next; Package waits for it. packages: NAME:COMMAND:SERVICE each."""

    manager: str
    packages: tuple[str, ...]


class RemovePackage(Operation):
    name: str
    before: str
    manager: str


class Module(Operation):
    name: str


class RemoveModule(Operation):
    name: str
    before: str


class Sysctl(Operation):
    name: str
    value: str


class RemoveSysctl(Operation, answers=("ok", "note")):
    name: str
    before: str


class Swapoff(Operation):
    pass


class RemoveSwapoff(Operation):
    """before: what /proc/swaps listed, blanks between, or `none`."""

    before: str


# Units.


class Unstamp(Operation):
    unit: str


class Stamp(Operation):
    unit: str
    value: str


class ReloadUnits(Operation):
    """enable: units that are enabled first, so that systemd reads them once."""

    enable: tuple[str, ...] = ()


class Restart(Operation):
    unit: str


class Stop(Operation):
    unit: str


class Kill(Operation):
    """Stops a unit without asking its processes to end: they would wait for what does not come back."""

    unit: str


class RemoveUnit(Operation):
    unit: str


class GiveBackUnit(Operation):
    """Enables and starts somebody else's unit again, whose name kprov had. before: `present ENABLED ACTIVE`."""

    unit: str
    before: str


class Keep(Operation, changes=False):
    """From here on the host keeps what it has, and takes it back by itself when the exec fails before each of these units
    has its stamp again.
    """

    units: tuple[str, ...]


class GoBack(Operation, answers=("ok", "told")):
    """Takes back what is kept, and asks the units again. It tells what became of it, as `back` does after a failure."""

    @property
    def expected(self) -> str:
        return "what was there before the change to run as it did"


class Gate(Operation, changes=False):
    """Asks again and again; kind and argument as kprov.values.resources.Gate has them.

    unit: the one that was restarted, nothing where none was.
    """

    unit: str = ""
    kind: Literal["active", "http", "listens", "command", "cri"]
    seconds: int
    argument: str

    @property
    def expected(self) -> str:
        return f"{self.kind} {self.argument} within {self.seconds} s"


class Steady(Operation, changes=False):
    """Waits until the unit's main process has lived for longer than systemd waits before a restart."""

    unit: str
    seconds: int

    @property
    def expected(self) -> str:
        return f"the same main process for longer than the unit's RestartSec, within {self.seconds} s"


class Started(Operation, answers=("ok", "told"), changes=False):
    """Tells when the main process started, in microseconds of the epoch. service: its path on D-Bus."""

    service: str


class Checkpoint(Operation):
    """Writes down what was done so far, so that it is not done again whatever happens next."""


# Conversations. What is asked, and what an answer means, is decided in kprov/plan.


Program = Literal["etcdctl", "kubectl", "metrics", "rewrite"]


class Ask(Operation, answers=("ok", "answer"), changes=False):
    """Asks a client. stdin: a payload, or nothing. each: words of which one more is given, in as many runs side by side.

    again, until: extended regular expressions; it is asked again while a failure matches the one, or an answer is empty or
    has a line that does not match the other. A failure ends the exec, and fails nothing: whoever asked decides.
    All but etcdctl need the payload `kubeconfig`.
    """

    program: Program
    asked: tuple[str, ...]
    stdin: str = ""
    again: str = ""
    seconds: int = 0
    each: tuple[str, ...] = ()
    until: str = ""


class EtcdFlags(Operation):
    """Writes what etcd is started with beside its unit's own flags: how it founds or joins, nothing once it has."""

    flags: str = ""


class RestoreSnapshot(Operation):
    """Makes the data of a member that does not run out of a snapshot. What was there is kept aside, once for each token.

    payload: the snapshot. initial: etcd's --initial-cluster; url: of this member in it. bump: added to the revision.
    """

    payload: str
    name: str
    url: str
    initial: str
    token: str
    bump: int

    @property
    def expected(self) -> str:
        return "etcdutl to restore the snapshot"


class SetDataAside(Operation):
    """Stops etcd and keeps its data aside, under the time it is: it is of a cluster that is no more."""


# Kubernetes objects, on a control plane with the payload `kubeconfig`. payload: manifests.


class Objects(Operation):
    """Applies objects. again: an extended regular expression of the failures that pass, case ignored."""

    payload: str
    again: str


class DeleteObject(Operation):
    kind: str
    namespace: str = ""
    name: str


class NodesReady(Operation, answers=("ok", "told"), changes=False):
    """Waits until each node is Ready. When it gives up, it tells which are not, each with condition and message."""

    nodes: tuple[str, ...]
    seconds: int

    @property
    def expected(self) -> str:
        return f"nodes Ready within {self.seconds} s"


class PodAddresses(Operation, answers=("ok", "told"), changes=False):
    """Waits until all pods with the label run and have an address, and tells them: NODE ADDRESS, a line each."""

    namespace: str
    label: str
    pods: int
    seconds: int


class Reach(Operation, changes=False):
    """Connects from the pod on this host that listens on the port to those on other nodes: each is NODE=ADDRESS.

    seconds: how long each is asked again: a pod is Running once its program was started, and listens later.
    """

    port: int
    peers: tuple[str, ...]
    seconds: int

    @property
    def expected(self) -> str:
        return "pods of this node to reach pods of all other nodes"


class DeletePods(Operation, changes=False):
    """With a NetworkPolicy that opened the way between them."""

    namespace: str
    label: str


class Well(Operation, changes=False):
    """Writes down which hosts were seen well: each is HOST=GENERATION."""

    hosts: tuple[str, ...]


class UnitLog(Operation, answers=("ok", "told"), changes=False):
    """Tells how a unit ended last, and its last lines."""

    unit: str


# When a runtime, or kprov, leaves a host.


class Alone(Operation, changes=False):
    """Fails when a runtime of kprov's holds what is not Kubernetes': that would be lost with its data. Changes nothing."""

    store: str

    @property
    def expected(self) -> str:
        return "nothing in this runtime but what Kubernetes runs"


class Sandboxes(Operation):
    """Takes down all pods. store: the socket through which images are stored and containers listed."""

    store: str


class Clear(Operation):
    path: str


class Unmount(Operation):
    path: str


class DropTable(Operation):
    """Deletes an nft table that a runtime made for host ports."""

    family: str
    name: str


class Run(Operation):
    """Runs a program of kprov's own."""

    payload: str
    argument: str


class StateGone(Operation):
    pass
