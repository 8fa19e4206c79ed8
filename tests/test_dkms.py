"""What a dkms.conf says for a kernel; nothing of it is run."""

import pytest

from vmlab.build import dkms

CONF = 'PACKAGE_NAME="duck"\nPACKAGE_VERSION="1.0"\nBUILT_MODULE_NAME[0]="duck"\n'
CONFIG = "CONFIG_PCI=y\nCONFIG_VIDEO=m\n# CONFIG_ACPI is not set\n"


@pytest.fixture
def target(tmp_path):
    headers = tmp_path / "headers"
    headers.mkdir()
    (headers / ".config").write_text(CONFIG)
    return dkms.Target("6.1.0-50-686", "i686", headers)


@pytest.fixture
def read(tmp_path, target):
    def read(text: str) -> dkms.Conf:
        (tmp_path / "dkms.conf").write_text(CONF + text)
        return dkms.read(tmp_path, target)

    return read


def test_without_a_command_the_kernel_s_own_build_is_meant(read, target, tmp_path):
    conf = read("")
    assert dkms.placed(conf.make, tmp_path / "work", target, conf, tmp_path) == (
        f"make KERNELRELEASE=6.1.0-50-686 -C {target.headers} M={tmp_path}/work/duck/1.0/build"
    )
    assert (conf.built, conf.excluded) == ((dkms.Built("duck", ""),), None)


def test_a_command_is_for_where_things_really_are(read, target, tmp_path):
    conf = read("MAKE='make -C /lib/modules/6.1.0-50-686/build M=x'\" $kernelver ${arch}\"")
    assert dkms.placed(conf.make, tmp_path, target, conf, tmp_path) == (
        f"make KERNELRELEASE=6.1.0-50-686 -C {target.headers} M=x 6.1.0-50-686 i686"
    )


def test_sources_that_a_command_names_as_installed_are_the_copy_s(read, target, tmp_path):
    conf = read("MAKE='cd /usr/src/duck-1.0 && cp /usr/src/nest-2/x . && mv y /var/lib/dkms/duck'")
    made = dkms.placed(conf.make, tmp_path / "work", target, conf, tmp_path / "src" / "duck-1.0")
    work = f"{tmp_path}/work"
    assert made == (f"cd {work}/duck/1.0/build && cp {tmp_path}/src/nest-2/x . && mv y {work}/duck")


def test_packages_that_are_installed_beside_it_are_seen(tmp_path, target):
    folder = tmp_path / "src" / "duck-1.0"
    folder.mkdir(parents=True)
    (tmp_path / "src" / "nest-2").mkdir()
    text = "BUILT_MODULE_NAME=$(find /usr/src -maxdepth 1 -name 'nest-*' | cut -d/ -f4)\n"
    (folder / "dkms.conf").write_text(CONF + text)
    assert [one.name for one in dkms.read(folder, target).built] == ["nest-2"]


@pytest.mark.parametrize("version", ['"#VERSION#"', "#MODULE_VERSION#", "@PKGVER@", "'%%V%%'"])
def test_a_template_of_a_dkms_conf_has_a_version_too(tmp_path, target, version):
    """A path with a hash sign is none that make could be given."""
    token = version.strip("\"'")
    text = f"PACKAGE_NAME=duck\nPACKAGE_VERSION={version}\nMAKE='make V={token}'\n"
    (tmp_path / "dkms.conf").write_text(text)
    conf = dkms.read(tmp_path, target)
    assert (conf.version, conf.make.partition(" V=")[2]) == ("0", "0")


def test_other_places_of_a_template_are_empty(tmp_path, target):
    text = "PACKAGE_NAME=duck\nPACKAGE_VERSION=@V@\nMAKE='make A=@CFLAGS@ V=@V@ a@b c@d'\n"
    (tmp_path / "dkms.conf").write_text(text)
    assert dkms.read(tmp_path, target).make.endswith(" A= V=0 a@b c@d")
    (tmp_path / "dkms.conf").write_text(text.replace("=@V@\n", "=1\n"))
    assert dkms.read(tmp_path, target).make.endswith(" A=@CFLAGS@ V=@V@ a@b c@d")


def test_the_last_command_whose_kernels_fit_is_taken(read):
    more = 'MAKE[0]="make a"\nMAKE[1]="make b"\nMAKE_MATCH[1]="^6\\."\nMAKE[2]="make c"\n'
    assert read(more + 'MAKE_MATCH[2]="^7\\."').make.endswith("make KERNELRELEASE=6.1.0-50-686 b")
    assert read('MAKE[0]="make a"\nMAKE[1]="x"\nMAKE_MATCH[1]="^7\\."').make.endswith(" a")


def test_patches_are_those_whose_kernels_fit(read):
    more = 'PATCH[0]="all"\nPATCH[1]="old"\nPATCH_MATCH[1]="^5\\."\nPATCH[2]="new"\n'
    assert read(more + 'PATCH_MATCH[2]="^6\\."').patches == ("all", "new")


EXCLUSIVE = {
    'BUILD_EXCLUSIVE_KERNEL="^5\\."': "KERNEL=^5\\.",
    'BUILD_EXCLUSIVE_KERNEL="^6\\."': None,
    'BUILD_EXCLUSIVE_KERNEL_MIN="6.2"': "KERNEL_MIN=6.2",
    'BUILD_EXCLUSIVE_KERNEL_MIN="5.18"': None,
    'BUILD_EXCLUSIVE_KERNEL_MAX="5.18"': "KERNEL_MAX=5.18",
    'BUILD_EXCLUSIVE_KERNEL_MAX="6.10"': None,
    'BUILD_EXCLUSIVE_ARCH="x86_64"': "ARCH=x86_64",
    'BUILD_EXCLUSIVE_ARCH="i.86"': None,
    'BUILD_EXCLUSIVE_CONFIG="CONFIG_PCI CONFIG_VIDEO !CONFIG_ACPI"': None,
    'BUILD_EXCLUSIVE_CONFIG="CONFIG_PCI CONFIG_ACPI"': "not so: CONFIG_ACPI",
    'BUILD_EXCLUSIVE_CONFIG="!CONFIG_VIDEO"': "not so: !CONFIG_VIDEO",
    '. $kernel_source_dir/.config\nif [ "${CONFIG_ACPI:-n}" = n ]; then\n'
    'echo "no ACPI" >&2; BUILD_EXCLUSIVE_ARCH="^none$"; fi': "ARCH=^none$ (no ACPI)",
}  # fmt: skip


@pytest.mark.parametrize("text", EXCLUSIVE, ids=lambda text: text[:40])
def test_a_kernel_that_is_not_for_it_is_told_why(read, text):
    excluded, wanted = read(text).excluded, EXCLUSIVE[text]
    assert excluded == wanted if wanted is None else excluded.endswith(wanted)


def test_modules_of_some_kernels_only_are_told_from_the_others(tmp_path):
    (tmp_path / "dkms.conf").write_text(
        CONF + "i=1\nif [ -n $CONFIG_X ]; then\nBUILT_MODULE_NAME[$i]=drake\n"
        "BUILT_MODULE_LOCATION[$i]=src/\ni=$((i+1))\nfi\nBUILT_MODULE_NAME[$i]=egg\n"
    )
    assert dkms.listed(tmp_path) == [
        dkms.Listed("duck", "", True), dkms.Listed("drake", "src", False),
        dkms.Listed("egg", "", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("X=$(wget http://there)", r"dkms.conf:4: runs 'wget'; vmlab reads .* does not run it"),
        ("touch seen", r"dkms.conf:4: runs 'touch'"),
        ("PACKAGE_VERSION=", "PACKAGE_VERSION ''"),
        ("PACKAGE_NAME=../../etc", "PACKAGE_NAME '../../etc'"),
    ],
)
def test_what_is_not_read_is_said_with_its_line(read, tmp_path, text, said):
    with pytest.raises(dkms.ConfError, match=said):
        read(text)
    assert not (tmp_path / "seen").exists()


def test_what_a_loop_takes_from_a_list_of_some_kernels_is_of_some_kernels(tmp_path):
    loop = 'do BUILT_MODULE_NAME[i]="${N[i]}"; done\n'
    text = f'N=(duck hen)\nif [ -e x ]; then N+=(swan); fi\nfor i in "${{!N[@]}}"; {loop}'
    (tmp_path / "dkms.conf").write_text(text)
    always = {one.name: one.always for one in dkms.listed(tmp_path)}
    assert always == {"duck": True, "hen": True, "swan": False}
