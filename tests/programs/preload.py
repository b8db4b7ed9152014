"""Programs with our heap as their malloc, and the same ones with the host's."""
import os
import re
import subprocess

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
LIBRARY = os.path.join(BUILD, "host", "libquicklime-malloc.so")
LIMIT = float(os.environ.get("QL_PROGRAM_SECONDS", "300"))
PYTHON = "/usr/bin/python3"


def environment(preload, **more):
    """Without anything that the caller's environment says about malloc."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("MALLOC_", "PYTHON", "QUICKLIME_", "LD_"))}
    env.update(LC_ALL="C.UTF-8", PYTHONDONTWRITEBYTECODE="1", PYTHONHASHSEED="1")
    if preload:
        env["LD_PRELOAD"] = LIBRARY
    env.update(more)
    return env


def run(*argv, preload=True, limit=LIMIT, options=None, env=None, **more):
    env = env or environment(preload)
    if options is not None:
        env["QUICKLIME_MALLOC"] = options
    return subprocess.run(argv, env=env, timeout=limit, capture_output=True, **more)


def counted(figures):
    """What QUICKLIME_MALLOC=stats=FILE has written: (program, allocations, live) for each process."""
    with open(figures, encoding="ascii") as lines:
        found = [re.match(r"quicklime: (.*)\[\d+\]: (\d+) allocations, (\d+) frees, (\d+) live,", line) for line in lines]
    assert found and all(found)
    for each in found:
        assert int(each[2]) - int(each[3]) == int(each[4])
    return [(each[1], int(each[2]), int(each[4])) for each in found]


def both(tmp_path, program, least, *argv, **more):
    """Run it both ways: it must succeed and say the same. The process called program must have made at
    least so many allocations from our heap."""
    figures = tmp_path / "figures"
    ours = run(*argv, options=f"stats={figures}", **more)
    theirs = run(*argv, preload=False, **more)
    assert theirs.returncode == 0, theirs.stderr[-2000:]
    assert ours.returncode == 0, ours.stderr[-2000:]
    assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)
    assert any(name == program and count >= least for name, count, _ in counted(figures)), counted(figures)
    return ours
