"""Settings in the shell's language, read without a shell: the same as a real one gives."""

import subprocess
import time

import pytest

from vmlab.build.shell import Files, Refused, Shell

# Each sets R. bash is asked as well, so that what is expected here is not our own belief.
SETTINGS = {
    "quotes": "N=\"a b\"; R='x $N'\"y $N\"z\\ $N",
    "an array, one by one": 'i=0; A[$i]=x; i=$((i+1)); A[$i]="y z"; R="${A[0]}-${A[1]}-${A[@]}"',
    "an array at once": "A=(one 'two three'); A+=(four); R=${A[2]}${#A}",
    "a plain variable is an array's first": "A=x; A[1]=y; R=$A${A[1]}",
    "more of it": "R=a; R+=b",
    "defaults": 'E=; R="${X:-d}${E-e}${E:-f}${X:+g}"',
    "cut": "V=5.10.0-32; R=${V%%-*}/${V##*.}/${V%.*}/${V#*.}",
    "replaced": "V=a.b.c; R=${V/./_}${V//./-}",
    "a condition": 'if [ 3 -ge 2 ] && [ -n "x" ]; then R=yes; else R=no; fi',
    "elif": "if [ a = b ]; then R=1; elif [ ! a = b ]; then R=2; else R=3; fi",
    "old words for and, or": "if [ 1 -eq 2 -o 3 -lt 4 -a x != y ]; then R=yes; fi",
    "double brackets": "V=6.1.0-50-amd64; if [[ $V =~ ^6\\.[0-9]+ && $V == *amd64 ]]; then R=y; fi",
    "a pattern in quotes": "if [[ abc == a* ]]; then R=y; fi",
    "not": 'if ! { echo 6.1; echo 5.18; } | sort -V -C; then R=newer; else R=older; fi',
    "or else": "false || R=x; true && R=$R$R",
    "grouped": "( [ 1 -gt 2 ] || [ 2 -gt 1 ] ) && R=y",
    "sed": "R=$(echo 6.1.0-50-amd64 | sed -ne 's/\\([0-9]\\+\\)\\.\\([0-9]\\+\\).*/\\2/p')",
    "sed, extended": "R=$(echo 6.1.0 | sed -E 's/([0-9]+)\\.([0-9]+)/\\2-&/')",
    "cut of a command": "R=`echo a.b.c | cut -d. -f2`; R=$R$(echo a.b.c | cut -d. -f2-)",
    "grep": "if echo CONFIG_X=m | grep -q '^CONFIG_X=[ym]$'; then R=y; fi",
    "grep, what does not fit": "R=$(printf 'a\\nb\\n' | grep -v a)",
    "a status": "false; R=$?",
    "a loop": "for w in a 'b c' d; do R=$R[$w]; done",
    "each of an array": 'A=("a b" c); for w in "${A[@]}" ${A[@]}; do R="$R[$w]"; done; '
    'B=(d "${A[@]}"); R="$R${#B[1]}"',
    "each number of an array": 'A=(x y); A[7]=z; for i in "${!A[@]}"; do B[i]="${A[i]}$i"; done; '
    'for i in ${!B[*]}; do R="$R${B[$i]},"; done; R="$R${!B[@]}"',
    "lines go on": 'R="a \\\n b"\nif true \\\n && true; then R=$R.; fi',
    "a comment": "R=x # R=y\n# R=z",
    "words part": 'L="a b"; for w in $L "$L"; do R=$R$w,; done',
    "sums": "A=7; R=$(( (A + 3) * 2 / 3 % 4 ))$((A>6))",
    "the end": "R=x; if true; then return 0 2>/dev/null || exit 0; fi; R=y",
    "cases": "for v in 2.6.8 5.10 7; do case $v in 2.4.* | 2.6.*) R=$R.old ;; 5*) R=$R.5\n;; "
    "*) R=$R.new; esac; done",
    "names": "R=$(basename /a/b.c .c)$(dirname /a/b.c)",
    "awk": "R=$(echo a b c | awk '{print $2}')$(printf 'a:b\\nc:d\\n' | awk -F: '/c/ {print $NF}')",
    "counted": "R=$(printf 'a\\nb c\\n' | wc -l)$(printf 'a\\nb c\\n' | wc -w)",
    "expr": "R=$(expr 3 + 4)$(expr v5.10 : 'v\\([0-9]*\\)')$(expr 2 = 3)",
    "tr": "R=$(echo 'AZ b-C' | tr A-Z a-z)$(echo 'a b' | tr -d '[:space:]')$(echo aabbc | tr -s ab)"
    "$(printf 'a\\nb' | tr '\\n' ' ')$(echo abc | tr abc x)$(echo aB | tr '[:lower:]' '[:upper:]')",
    "programs": "R=$(which no-such-program); [ $? -eq 0 ] || R=none; command -v make >/dev/null && "
    "R=$R.make; if command -v no-such; then R=$R.two; fi",
    "an empty variable": "if [ -f $NO ]; then R=$R.one; fi; if [ -n $NO ]; then R=$R.two; fi",
}  # fmt: skip


@pytest.mark.parametrize("text", SETTINGS.values(), ids=SETTINGS)
def test_settings_come_out_as_a_shell_has_them(text):
    shell = Shell()
    shell.follow(f"R=\n{text}\n")
    asked = f'f() {{ R=\n{text}\n}}; f; printf %s "$R"'
    bash = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert shell.value("R") == bash.stdout != ""


def test_files_are_listed_and_found_where_they_may_be_seen(tmp_path):
    for name in ("nest-1/dkms.conf", "nest-2/dkms.conf", "nest-2/deep/egg.c", "duck.c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    shell = Shell(Files({"/usr/src": tmp_path}), {"-m": "i686"})
    shell.follow(
        "A=$(find /usr/src -maxdepth 1 -type d -name 'nest-*' -print | sort | tail -1)\n"
        "B=$(ls /usr/src | head -n 1)$(ls /etc | wc -l)\nC=$(find /etc -name 'pass*')\n"
        "D=$(getconf LONG_BIT)$(dpkg --print-architecture)\n"
    )
    values = [shell.value(name) for name in "ABCD"]
    assert values == ["/usr/src/nest-2", "duck.c0", "", "32i386"]


REFUSED = {
    "find . -delete": "line 1: runs find -delete",
    "find . -exec touch {} +": "line 1: runs find -exec",
    "echo x | awk '{system(1)}'": "line 1: runs awk with more",
    "dpkg --purge duck": "line 1: runs dpkg --purge",
    "X=$(curl http://there)": "line 1: runs 'curl'",
    "\nrm -rf build": "line 2: runs 'rm'",
    "echo x > file": "line 1: writes to file",
    "X=1\n[ $X = 1 ] && touch seen": "line 2: runs 'touch'",
    "while true; do X=1; done": "line 1: has a 'while'",
    "f() { X=1; }": "line 1: defines a function",
    "X='a": "line 1: a ' is not closed",
    "if true; then X=1": "line 1: 'fi' is missing",
    "cat << END\nx\nEND": "line 1: has a '<<'",
    "true &": "line 1: starts something in the background",
    "X=$((__import__('os').getpid()))": "line 1: has a sum",
    "X=$((9**9**9))": "line 1: has a sum",
    "command rm -r x": "line 1: runs command without -v",
    "sed -i s/a/b/ file": "line 1: runs sed -i",
    "sed -n 'w seen' < x": "line 1: runs sed with more",
    "eval X=1": "line 1: runs 'eval'",
    "X=${!Y}": "line 1: has an expansion",
    "case x in": "line 1: ')' is missing",
    "fi": "line 1: runs 'fi'",
}


@pytest.mark.parametrize("text", REFUSED, ids=repr)
def test_more_than_settings_is_refused_and_not_done(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused) as refused:
        Shell().follow(text)
    assert str(refused.value).startswith(REFUSED[text])
    assert list(tmp_path.iterdir()) == []


def test_only_known_places_are_seen(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/.config").write_text("CONFIG_A=y\n# CONFIG_B is not set\n")
    (tmp_path / "secret").write_text("R=stolen\n")
    (tmp_path / "tree/link").symlink_to(tmp_path / "secret")
    shell = Shell(Files({"/usr/src/tree": tmp_path / "tree"}))
    shell.follow(
        "if [ -f /usr/src/tree/.config ]; then . /usr/src/tree/.config; R=$CONFIG_A; fi\n"
        f". {tmp_path}/secret\n. /usr/src/tree/../secret\n. /usr/src/tree/link\n"
        "[ -e /etc/passwd ] && R=seen\n"
    )
    assert shell.value("R") == "y"
    assert shell.value("CONFIG_B") is None


def test_a_file_that_names_itself_ends(tmp_path):
    (tmp_path / "a").write_text(". ./a\n")
    with pytest.raises(Refused, match="deep"):
        Shell(Files({".": tmp_path})).follow(". ./a")


def test_every_branch_can_be_followed():
    shell = Shell(every=True)
    shell.follow('i=0; N[$i]=a; i=$((i+1))\nif [ -n "$X" ]; then N[$i]=b; i=$((i+1)); fi\nN[$i]=c')
    assert list(shell.array("N").values()) == ["a", "b", "c"]
    assert shell.sometimes >= {("N", 1)}
    assert not shell.sometimes & {("N", 0), ("N", 2)}


def test_in_a_branch_that_may_not_be_taken_more_may_stand():
    """As what is asked of a program that is hardly ever there."""
    text = "N[0]=a\nif which ofed; then V=$(ofed -s); echo $V > /seen; N[1]=b; fi\n"
    shell = Shell(every=True)
    shell.follow(text)
    assert list(shell.array("N").values()) == ["a", "b"]
    told = Shell()
    told.follow(text)
    assert list(told.array("N").values()) == ["a"]
    with pytest.raises(Refused, match="runs 'ofed'"):
        Shell(every=True).follow("ofed -s")


def test_a_kernel_s_configuration_is_read_in_time():
    options = "".join(f'CONFIG_{n}="value {n}"\n# CONFIG_X{n} is not set\n' for n in range(10_000))
    began = time.process_time()
    shell = Shell()
    shell.follow(options)
    assert shell.value("CONFIG_9999") == "value 9999"
    assert time.process_time() - began < 10
