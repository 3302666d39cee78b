"""A folder that looks like a TX2's root, with programs that act on it as NVIDIA's do."""

import subprocess
import sys
from pathlib import Path

MODEL = "quill"
COMPATIBLE = "nvidia,p2597-0000+p3310-1000\0nvidia,quill\0nvidia,tegra186\0"
CONF = """\
# < POWER_MODEL ID=id_num NAME=mode_name >
# < PM_CONFIG DEFAULT=default_mode >

< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_1 /sys/devices/system/cpu/cpu1/online
CORE_2 /sys/devices/system/cpu/cpu2/online
CORE_3 /sys/devices/system/cpu/cpu3/online
CORE_4 /sys/devices/system/cpu/cpu4/online
CORE_5 /sys/devices/system/cpu/cpu5/online

< PARAM TYPE=CLOCK NAME=GPU >
MAX_FREQ /sys/devices/17000000.gp10b/devfreq/17000000.gp10b/max_freq

# MAXN is the NONE power model to release all constraints
< POWER_MODEL ID=0 NAME=MAXN >
CPU_ONLINE CORE_1 1
CPU_ONLINE CORE_2 1
CPU_ONLINE CORE_3 1
CPU_ONLINE CORE_4 1
CPU_ONLINE CORE_5 1
GPU MAX_FREQ 1300500000

< POWER_MODEL ID=1 NAME=MAXQ >
CPU_ONLINE CORE_1 0
CPU_ONLINE CORE_2 0
CPU_ONLINE CORE_3 1
CPU_ONLINE CORE_4 1
CPU_ONLINE CORE_5 1
GPU MAX_FREQ 850000000

< POWER_MODEL ID=2 NAME=MAXP_CORE_ALL >
CPU_ONLINE CORE_1 1
CPU_ONLINE CORE_2 1
CPU_ONLINE CORE_3 1
CPU_ONLINE CORE_4 1
CPU_ONLINE CORE_5 1
GPU MAX_FREQ 1120000000

< POWER_MODEL ID=3 NAME=MAXP_CORE_ARM >
CPU_ONLINE CORE_1 0
CPU_ONLINE CORE_2 0
CPU_ONLINE CORE_3 1
CPU_ONLINE CORE_4 1
CPU_ONLINE CORE_5 1
GPU MAX_FREQ 1120000000

< POWER_MODEL ID=4 NAME=MAXP_CORE_DENVER >
CPU_ONLINE CORE_1 1
CPU_ONLINE CORE_2 0
CPU_ONLINE CORE_3 0
CPU_ONLINE CORE_4 0
CPU_ONLINE CORE_5 0
GPU MAX_FREQ 1120000000

# mandatory section to configure the default mode
< PM_CONFIG DEFAULT=3 >
"""


class Tx2:
    """The board. Its state is in files, as the programs that change it are processes of their own.

    Files in ``state/`` steer nvpmodel: ``rights`` (it may set modes), ``reboot`` (ids that need one), ``hang`` (it
    stops after the CPUs, before the GPU; "once" or always), ``slow`` (seconds until a mode reads back), ``deaf`` (-q
    prints no mode).
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.programs = folder / "bin"
        self._state = self.root / "state"
        for name in ("etc", "run", "state", "proc/device-tree", "sys/devices/17000000.gp10b/devfreq/17000000.gp10b"):
            (self.root / name).mkdir(parents=True)
        for core in range(1, 6):
            (self.root / f"sys/devices/system/cpu/cpu{core}").mkdir(parents=True)
        (self.root / "proc/device-tree/compatible").write_text(COMPATIBLE)
        (self.root / "proc/device-tree/model").write_text(MODEL + "\0")
        (self.root / "etc/nvpmodel.conf").write_text(CONF)
        self.programs.mkdir()
        for name in ("nvpmodel", "jetson_clocks"):
            source = (Path(__file__).with_name("programs") / f"{name}.py").read_text()
            program = self.programs / name
            program.write_text(f"#!{sys.executable} -SE\nROOT = {str(self.root)!r}\n{source}")
            program.chmod(0o755)
        self.steer("rights")
        self.set_by_hand(3)

    @property
    def nvpmodel(self) -> str:
        return str(self.programs / "nvpmodel")

    def steer(self, name: str, value: str = "") -> None:
        new = self._state / (name + ".new")
        new.write_text(value)
        new.replace(self._state / name)

    def release(self, name: str) -> None:
        (self._state / name).unlink()

    def set_by_hand(self, mode_id: int) -> None:
        """What somebody with root does in another terminal."""
        subprocess.run([self.nvpmodel, "-m", str(mode_id)], stdin=subprocess.DEVNULL, check=True, timeout=30)

    def hold_back(self) -> None:
        """Modes that are set from now on do not read back before ``release("slow")``."""
        self.steer("mode_before", str(self.mode()))
        self.steer("slow", "3600")

    def mode(self) -> int:
        return int((self._state / "mode").read_text())

    def gpu_hz(self) -> int:
        return int((self.root / "sys/devices/17000000.gp10b/devfreq/17000000.gp10b/max_freq").read_text())

    def cores_online(self) -> str:
        """One digit a core, 1 to 5."""
        return "".join((self.root / f"sys/devices/system/cpu/cpu{core}/online").read_text() for core in range(1, 6))

    def calls(self) -> list:
        """What nvpmodel was called with so far, one text a call."""
        return (self._state / "calls").read_text().splitlines()

    def was_rebooted(self) -> bool:
        return (self._state / "rebooted").exists()

    def clocks(self) -> str:
        path = self._state / "clocks"
        return path.read_text() if path.exists() else "scaling"

    def listens(self, yes: bool = True) -> None:
        """Whether the jtop service's socket is there."""
        socket = self.root / "run/jtop.sock"
        if yes:
            socket.write_text("")
        elif socket.exists():
            socket.unlink()
