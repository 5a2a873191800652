"""GPUs, folders and environment variables."""

from dataclasses import replace

import pytest
from scratch_environment import SOURCE

from millrace.doctor import environment, gpu, storage
from millrace.doctor.surroundings import Gpu

H100 = "NVIDIA H100 80GB HBM3, 570.86.15, 9.0"


def smi(scratch, *lines):
    """A driver that answers."""
    scratch.command("nvidia-smi", "#!/bin/sh\n" + "".join(f'echo "{line}"\n' for line in lines))


def test_a_gpu_without_its_plugin(light):
    smi(light, H100, H100)
    said = light.doctor()
    assert said.code == 0
    assert "WARNING: There is a GPU (2 x NVIDIA H100 80GB HBM3), and JAX computes on the CPU." in said
    assert 'pip install "jax[cuda12]==0.10.1"' in said


def test_a_new_driver_takes_the_newer_cuda(light):
    smi(light, "NVIDIA L4, 580.65.06, 8.9")
    assert 'pip install "jax[cuda13]==0.10.1"' in light.doctor()


def test_a_gpu_that_works_is_no_finding(light):
    smi(light, "NVIDIA L4, 580.65.06, 8.9")
    light.package("jax-cuda13-plugin", "0.10.1")
    assert light.doctor().out.startswith("Nothing wrong found.")


def test_a_plugin_without_a_driver(light):
    light.package("jax-cuda12-plugin", "0.10.1")
    said = light.doctor()
    assert said.code == 0 and "WARNING: jax-cuda12-plugin is installed, and no NVIDIA driver answers." in said


def test_a_driver_that_is_too_old_for_the_plugin(light):
    smi(light, H100)
    light.package("jax-cuda13-plugin", "0.10.1")
    said = light.doctor()
    assert "The driver 570.86.15 or the GPU (NVIDIA H100 80GB HBM3) is too old for CUDA 13." in said
    assert "jax[cuda12]==0.10.1" in said


def test_a_gpu_that_is_too_old_for_the_plugin(light):
    smi(light, "Tesla V100, 580.65.06, 7.0")
    light.package("jax-cuda13-plugin", "0.10.1")
    assert "jax[cuda12]==0.10.1" in light.doctor()


def test_a_driver_that_is_too_old_for_jax(light):
    smi(light, "Tesla K80, 470.82.01, 3.7")
    assert "NOTE: The GPU (Tesla K80) or its driver 470.82.01 is too old for JAX." in light.doctor()


def test_a_plugin_of_another_version_than_jaxlib(light):
    smi(light, H100)
    light.package("jax-cuda12-plugin", "0.9.2")
    assert "jax-cuda12-plugin 0.9.2 does not fit jaxlib 0.10.1." in light.doctor()


def test_other_cuda_libraries_before_the_plugins(light, tmp_path):
    smi(light, H100)
    light.package("jax-cuda12-plugin", "0.10.1")
    (tmp_path / "cuda").mkdir()
    (tmp_path / "cuda" / "libcudart.so.11.0").touch()
    said = light.doctor(LD_LIBRARY_PATH=str(tmp_path / "cuda"))
    assert "LD_LIBRARY_PATH brings other CUDA libraries." in said and "libcudart.so.11.0 in" in said
    assert "unset LD_LIBRARY_PATH" in said


def test_a_gpu_that_is_hidden(light):
    smi(light, H100)
    light.package("jax-cuda12-plugin", "0.10.1")
    assert "NOTE: CUDA_VISIBLE_DEVICES hides the GPU" in light.doctor(CUDA_VISIBLE_DEVICES="")
    assert "hides" not in light.doctor(CUDA_VISIBLE_DEVICES="0")


def test_a_gpu_whose_driver_is_silent_and_one_under_windows(machine, codes):
    assert set(codes(gpu, replace(machine, gpu_device=True))) == {"gpu-silent"}
    card = Gpu(("NVIDIA GeForce RTX 4090",), "580.65")
    assert set(codes(gpu, replace(machine, system="Windows", gpu=card))) == {"gpu-windows"}


needs_proc = pytest.mark.skipif(not storage.os.path.isdir("/proc/self"), reason="needs a folder that nobody can write")


@needs_proc
def test_a_folder_in_which_nothing_can_be_written(light):
    said = light.doctor(cwd="/proc", PYTHONPATH=str(SOURCE))
    assert said.code == 0 and "WARNING: Nothing can be written into this folder: /proc" in said
    assert f"millrace train --out {light.root}/millrace-runs" in said


@needs_proc
def test_a_temporary_folder_in_which_nothing_can_be_written(light):
    said = light.doctor(TMPDIR="/proc")
    assert said.code == 1 and "Nothing can be written into the folder for temporary files: /proc" in said
    assert f"export TMPDIR={light.root}/millrace-temporary" in said


def test_a_cache_that_cannot_be_made(light):
    (light.root / "file").touch()
    said = light.doctor(MILLRACE_CACHE=str(light.root / "file" / "cache"))
    assert said.code == 0 and f"Compiled programs cannot be kept in {light.root}/file/cache" in said
    assert "The system says: Not a directory." in said and "export MILLRACE_CACHE=" in said


def test_data_that_are_not_where_they_are_said_to_be(light):
    said = light.doctor(MILLRACE_DATA=str(light.root / "data"))
    assert said.code == 0 and f"MILLRACE_DATA names a folder that is not there: {light.root}/data" in said
    assert f"mkdir -p {light.root}/data" in said
    (light.root / "data").mkdir()
    assert light.doctor(MILLRACE_DATA=str(light.root / "data")).out.startswith("Nothing wrong found.")


@pytest.mark.parametrize(
    ("variable", "value", "level", "words"),
    [
        ("JAX_PLATFORMS", "cuda", "ERROR", "JAX was told to compute on cuda, and the plugin for it is not installed."),
        ("XLA_FLAGS", "xla_dump_to=x", "ERROR", "XLA_FLAGS begins with xla_dump_to=x, which is not a flag."),
        ("JAX_DISABLE_JIT", "1", "WARNING", "JAX_DISABLE_JIT switches compilation off."),
    ],
)
def test_a_variable_that_harms(light, variable, value, level, words):
    said = light.doctor(**{variable: value})
    assert said.code == (level == "ERROR") and f"{level}: {words}" in said
    assert f"unset {variable}" in said


def test_one_thread_for_many_cores(machine, codes):
    one = replace(machine, environment={"OMP_NUM_THREADS": "1"})
    assert codes(environment, one)["one-thread"].about == {"variable": "OMP_NUM_THREADS", "cores": 4}
    assert not codes(environment, replace(one, cores=1))


@pytest.mark.parametrize("value", ["cpu", "cpu,", ""])
def test_a_platform_that_is_always_there(light, machine, codes, value):
    here = replace(machine, path=(str(light.site),), environment={"JAX_PLATFORMS": value, "XLA_FLAGS": "--xla_x=1"})
    assert not codes(environment, here)
