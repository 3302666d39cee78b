"""nvpmodel as on a TX2: the same options, output and status, on the tree below ROOT (written above this line)."""

import re
import sys
import time
from pathlib import Path

root = Path(ROOT)  # noqa: F821


def state(name, default=None):
    path = root / "state" / name
    return path.read_text() if path.exists() else default


def write(path, text):
    # Readers see the old text or the new one, never half of it.
    path = root / path.lstrip("/")
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)


def read_conf():
    parameters, modes, section = {}, {}, None
    with (root / "etc/nvpmodel.conf").open() as file:
        for line in file:
            parameter = re.match(r"< PARAM TYPE=\w+ NAME=(\w+) >", line)
            mode = re.match(r"< POWER_MODEL ID=(\d+) NAME=(\w+) >", line)
            words = line.split()
            if parameter:
                section = parameters.setdefault(parameter.group(1), {})
            elif mode:
                section = []
                modes[int(mode.group(1))] = (mode.group(2), section)
            elif line.startswith("<"):
                section = None
            elif words and not line.startswith("#") and section is not None:
                if isinstance(section, dict):
                    section[words[0]] = words[1]
                else:
                    section.append(words)
    return parameters, modes


def query(modes):
    if state("deaf") is not None:
        print("NVPM ERROR: Error opening /var/lib/nvpmodel/status: 2")
        return 255
    set_at, slow = state("set_at"), state("slow")
    mode = int(state("mode"))
    if slow and set_at and time.time() < float(set_at) + float(slow):
        mode = int(state("mode_before"))
    print(f"NV Power Mode: {modes[mode][0]}\n{mode}")
    return 0


def set_mode(mode, parameters, modes):
    if mode not in modes:
        print(f"NVPM ERROR: request for bad power mode {mode}", file=sys.stderr)
        return 255
    if state("rights") is None:
        path = parameters["CPU_ONLINE"]["CORE_1"]
        print(f"NVPM ERROR: Error opening {path}: 13", file=sys.stderr)
        print(f"NVPM ERROR: failed to write PARAM CPU_ONLINE: ARG CORE_1: PATH {path}: VAL 1", file=sys.stderr)
        print("NVPM ERROR: failed to set power mode!", file=sys.stderr)
        return 0
    if str(mode) in (state("reboot") or "").split():
        print("NVPM WARN: Golden image context is already created")
        print(f"NVPM WARN: Reboot required for changing to this power mode: {mode}")
        print("NVPM WARN: DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:", flush=True)
        if sys.stdin.readline().strip().lower() == "yes":
            write("/state/rebooted", "")
            return 0
        print("NVPM ERROR: bad input!")
        print("NVPM ERROR: optMask is 1, no request for power mode")
        return 255
    for parameter, argument, value in modes[mode][1]:
        if parameter == "GPU" and state("hang") is not None:
            if state("hang") == "once":
                (root / "state/hang").unlink()
            time.sleep(60)
        write(parameters[parameter][argument], value)
    write("/state/mode_before", state("mode", str(mode)))
    write("/state/set_at", str(time.time()))
    write("/state/mode", str(mode))
    return 0


def main(arguments):
    with (root / "state/calls").open("a") as file:
        file.write(" ".join(arguments) + "\n")
    parameters, modes = read_conf()
    if arguments == ["-q"]:
        return query(modes)
    if len(arguments) == 2 and arguments[0] == "-m":
        return set_mode(int(arguments[1]), parameters, modes)
    print("NVPM ERROR: unknown options", file=sys.stderr)
    return 255


sys.exit(main(sys.argv[1:]))
