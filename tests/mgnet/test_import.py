"""What `import mgnet` asks for."""

import subprocess
import sys


def imported(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )


def test_without_torch_one_sentence_says_what_to_install():
    for name in ("mgnet", "mgnet.training"):
        result = imported(f"import sys; sys.modules['torch'] = None; import {name}")
        last = result.stderr.strip().splitlines()[-1]
        assert last == "ImportError: mgnet needs PyTorch: pip install 'mgcore[torch]'"
        assert "During handling" not in result.stderr


def test_a_broken_torch_speaks_for_itself(tmp_path):
    (tmp_path / "torch.py").write_text("import one_of_its_libraries")
    result = imported(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import mgnet")
    assert "No module named 'one_of_its_libraries'" in result.stderr.strip().splitlines()[-1]
