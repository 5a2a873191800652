"""What each finding says and means, in Simplified Chinese. The codes and braces are those of `english.py`."""

HEADS = {
    "error": "错误：",
    "warning": "警告：",
    "note": "提示：",
    "mend": "解决办法：",
    "fine": "没有发现问题。",
    "count": "{error} 处需要修复，{warning} 处需要留意，{note} 处仅供参考。",
    "instead": "millrace: {why}",
    "more": "运行 `{command} doctor` 可查看详情。",
    "looked": "检查对象：Python {python}（{executable}），{system} {processor}：{packages}。",
    "absent": "未安装",
}

# 没有问题时也会列出的内容：各项的名称，以及数值前后的句子。
FACTS = {
    "versions": "版本",
    "platform": "平台",
    "processor": "处理器",
    "cores": "CPU 核",
    "memory": "内存",
    "engine": "引擎",
    "ynnpack": "YNNPACK",
    "routines": "C 例程",
    "allocator": "内存分配器",
    "cache": "编译缓存",
    "settings": "环境设置",
    "counted": "本进程可用 {usable} 个，机器共有 {all} 个",
    "unknown": "未知",
    "numpy-alone": "只有 numpy：{why}",
    "xla": "xla，在 {platform} 上",
    "xla-named": "xla，在 {platform} 上：{devices}",
    "ynnpack-elsewhere": "在 {platform} 上不使用",
    "ynnpack-unsafe": "在 jaxlib {version} 中不可靠，因此一律不用。请安装其他版本的 jaxlib："
    "原本由它加速的计算现在较慢。",
    "ynnpack-fine": "jaxlib {version} 中没有已知错误；在它较快的地方使用（运行 `millrace explain --plan MODEL` "
    "可查看是哪些地方）",
    "routines-used": "已启用，为 {kind} 编译",
    "routines-elsewhere": "只用于 CPU，在 {platform} 上不使用",
    "routines-off": "没有：MILLRACE_NATIVE={about} 关闭了它们，一切由 XLA 计算，较慢",
    "routines-platform": "没有：不支持这种处理器或系统，一切由 XLA 计算",
    "routines-unbuilt": "没有：安装 Millrace 时未能编译，多半是因为没有 C 编译器，因此一切由 XLA 计算，较慢。"
    "请先安装编译器（{compiler}），再运行：{build}",
    "routines-stale": "没有：{about} 是用别的源代码编译的，因此一切由 XLA 计算，较慢。重新编译：{build}",
    "routines-unloadable": "没有：系统无法加载编译好的文件（{about}），因此一切由 XLA 计算，较慢。重新编译：{build}",
    "routines-refused": "没有：当前的 jaxlib 不接受它们，一切由 XLA 计算，较慢。它的说法：{about}",
    "routines-older": "没有：它们需要 AVX2 和 FMA（2013 年起的处理器），一切由 XLA 计算",
    "allocator-keeps": "保留大数组的内存不归还系统，否则每一步都要重新分配内存页",
    "allocator-left": "保持原样：{why}",
    "cache-none": "没有：无法写入 {folder}，因此每次运行都要重新编译。可以用 MILLRACE_CACHE 指定另一个目录。",
    "cache-kept": "{folder}：{files} 个文件，共 {size}，可写",
    "cache-fixed": "{folder}：{files} 个文件，共 {size}，不可写",
    "cache-of-jax": "，由 JAX 自己的设置指定",
    "none-set": "环境变量中没有 JAX、XLA、内存分配器或 Millrace 的设置",
    "verifying": "用 {count} 个运算的样例比较两个引擎（第一次约需一分钟）",
    "comparing": "比较中",
    "different": "不一致：{difference}",
    "compared": "用 {seconds} 秒比较了 {count} 个运算的 {results} 个结果（{dtypes}）。",
    "agree": "两个引擎的结果全部一致。",
    "differ": "{count} 个结果不一致，涉及 {names}：在这台机器上不要相信这些运算编译后的结果。"
    "`--engine numpy` 不用编译器计算；请附上以上各行报告此问题。",
    "comma": "、",
}

# A finding's code: what was found, and what it means.
TEXTS = {
    "python-old": (
        "Python {have} 版本过低。",
        "Millrace 需要 Python {oldest} 至 {newest}。更早的版本无法读取其源代码，JAX 也没有相应的安装包。",
    ),
    "python-new": (
        "Python {have} 比 Millrace 测试过的版本都新。",
        "各软件包只为 Python {oldest} 至 {newest} 提供编译好的安装包。对更新的版本，pip 可能会尝试自行编译，"
        "而且往往失败。",
    ),
    "python-kind": (
        "当前是 {kind}，不是 CPython。",
        "NumPy 和 JAX 的安装包含有为 CPython（即通常的 Python）编译的机器码，{kind} 无法加载。",
    ),
    "python-32-bit": (
        "当前是 {bits} 位的 Python。",
        "各软件包只支持 64 位 Python。绝大多数机器都能运行 64 位版本。",
    ),
    "python-free-threaded": (
        "当前 Python 是自由线程版（没有全局解释器锁）。",
        "Millrace 没有在这种版本上测试过，有些软件包可能没有相应的安装包。请使用同一版本号的普通 Python。",
    ),
    "python-store": (
        "当前 Python 来自微软应用商店。",
        "它的写入权限受限：写到 AppData 的内容会落入一个路径很长的隐藏副本。它可以使用；如果发现文件“消失”，请改用 "
        "python.org 的 Python。",
    ),
    "no-wheels": (
        "没有适用于 {system}（{processor}）的安装包。",
        "ml_dtypes 和 jaxlib 只提供 Linux（x86_64、arm64）、macOS 和 Windows 的安装包。其他系统需要从源代码编译，"
        "换一台机器更容易。",
    ),
    "musl": (
        "这个 Linux 使用 C 库 musl（例如 Alpine）。",
        "ml_dtypes 和 jaxlib 是为通常的 C 库 glibc 编译的。请使用 Debian、Ubuntu 或 Fedora，例如在容器中：",
    ),
    "glibc-old": (
        "C 库 glibc {have} 版本过低。",
        "NumPy 和 jaxlib 需要 glibc {least} 或更新的版本。它是系统的一部分，不能单独更换；请使用更新的系统，"
        "例如在容器中：",
    ),
    "macos-old": (
        "macOS {have} 版本过低。",
        "各软件包需要 macOS {least} 或更新的版本。",
    ),
    "macos-intel": (
        "JAX 已不再支持使用 Intel 处理器的 Mac。",
        "Millrace 在这里用解释器运行，只需要 NumPy：结果相同，但慢很多倍。小型网络可以用它训练。",
    ),
    "windows-arm": (
        "JAX 没有 ARM 版 Windows 的安装包。",
        "Windows 在这种处理器上也能运行 x64 程序：换用 x64 版 Python 即可使用编译器。用当前的 Python 时，Millrace "
        "以解释器运行，慢很多倍。",
    ),
    "rosetta": (
        "当前 Python 是 Intel 版，由 Rosetta 转译运行。",
        "这种版本没有 JAX。Apple 芯片版的 Python 有，而且更快。",
    ),
    "no-avx": (
        "处理器没有 AVX 指令，或者该指令被关闭。",
        "jaxlib 编译时使用了 AVX，因此这里无法加载 XLA。Millrace 的解释器只需要 NumPy。如果这是虚拟机，"
        "请让它直接使用宿主机的"
        "处理器型号：AVX 往往只是被隐藏了。",
    ),
    "no-sse42": (
        "处理器没有 SSE4.2 指令。",
        "NumPy 2.4 及更新的版本因此拒绝加载，XLA 的要求更高。较早的 NumPy 可以运行 Millrace 的解释器。",
    ),
    "runtime-missing": (
        "缺少微软 C++ 运行库：{files}。",
        "NumPy 和 JAX 的机器码需要它。缺少时，导入会以“DLL load failed”结束。安装后不必重启，只需打开新的终端。",
    ),
    "paths-short": (
        "Windows 只允许 260 个字符以内的路径，而这个环境的路径很长：{folder}",
        "JAX 的部分文件会因此无法写入或找到。请以管理员身份开启长路径并打开新的终端，或者把环境放到较短的路径，例如 "
        "C:\\millrace。",
    ),
    "missing-base": (
        "未安装：{names}。",
        "没有 NumPy 和 ml_dtypes，Millrace 完全无法运行。下面的命令会装上所缺的全部软件包。",
    ),
    "missing-compiler": (
        "未安装：{names}。",
        "Millrace 用解释器运行，结果相同，但慢很多倍。编译器由 JAX 提供。",
    ),
    "missing-part": (
        "未安装：{names}。",
        "用到它们的命令无法执行。语言本身只需要 NumPy 和 ml_dtypes。",
    ),
    "missing-behind": (
        "{name} 需要 {other}，但它没有安装。",
        "缺少它就无法导入 JAX。它被卸载了，或者安装过程被中断。",
    ),
    "unregistered": (
        "找到了 {name}，但没有它的安装记录。",
        "无法得知其版本，pip 可能会在旁边再装一份。如果一切正常，可以不管。",
    ),
    "file-missing": (
        "{name} {version} 的安装不完整。",
        "缺少这个文件：{file}",
    ),
    "file-cut": (
        "{name} {version} 的安装已损坏。",
        "这个文件的长度不对：{file}  磁盘写满或下载中断会造成这种情况。",
    ),
    "other-python": (
        "{name} 是由另一个 Python 安装的。",
        "它的机器码适用于 {tag}，而当前是 Python {have}。可能是 PYTHONPATH 指向了另一个 Python 的软件包，"
        "或者环境建立之后 "
        "Python 升级过。所在目录：{folder}",
    ),
    "version-unfit": (
        "Millrace 不能使用 {name} {version}。",
        "Millrace 需要 {name}{bounds}。",
    ),
    "wrong-results": (
        "{name} {version} 在 CPU 上会算错或崩溃。",
        "这是该版本的缺陷（jax 的 issue 39103 和 39257）。用它训练出的结果不可信。",
    ),
    "disagree": (
        "{name} {version} 与 {other} {have} 不匹配。",
        "{name} 要求 {want}。",
    ),
    "twice": (
        "{name} 安装了两份：{version} 和 {other}。",
        "前一份遮住了后一份。前一份：{folder}  后一份：{second}",
    ),
    "twice-in-one": (
        "同一目录里有两份 {name}：{version} 和 {other}。",
        "它们的文件互相覆盖；conda（{by}）和 pip（{by_other}）先后安装同一软件包时会造成这种情况。请把两份都卸载，"
        "再重新安装一次。"
        "所在目录：{folder}",
    ),
    "two-millraces": (
        "有两份 Millrace。",
        "正在运行：{first}  另一份在：{second}",
    ),
    "masked": (
        "{file} 取代了 {module}。",
        "Python 会导入最先找到的同名文件或目录。凡是需要 {module} 的地方，得到的都是它。",
    ),
    "masked-library": (
        "{file} 取代了 Python 自带的模块 {module}。",
        "导入 {module} 的软件包会得到这个文件，并可能报出看不出原因的错误。在这个目录里启动的程序都会受影响。",
    ),
    "command-elsewhere": (
        "命令 `millrace` 属于另一个 Python。",
        "最先找到的是 {command}，它使用 {other}。当前 Python 是 {python}。",
    ),
    "pip-elsewhere": (
        "命令 `pip` 属于另一个 Python。",
        "它安装的软件包在这里看不到。它使用 {other}。请让当前 Python 调用自己的 pip。",
    ),
    "import-flags": (
        "XLA 不认识 XLA_FLAGS 的内容：{found}",
        "遇到不认识的选项时，它会终止整个程序。这些选项随版本增减。",
    ),
    "import-platform": (
        "JAX 被要求在 {found} 上计算，但找不到它。",
        "这是 JAX_PLATFORMS 规定的。不设置时，JAX 会选用现有的最佳设备。",
    ),
    "import-glibc": (
        "{name} 需要更新的 C 库：{found}。",
        "C 库是系统的一部分，不能单独更换；请使用更新的系统，例如在容器中：",
    ),
    "import-cpp": (
        "{name} 需要更新的 C++ 库：{found}。",
        "最先找到的 libstdc++ 太旧，它来自系统、conda 或 LD_LIBRARY_PATH。",
    ),
    "import-disagree": (
        "jax 与 jaxlib 不匹配。",
        "JAX 的说明：{said}",
    ),
    "import-abi": (
        "{name} 是为另一版本的 NumPy 编译的。",
        "为 NumPy 1 编译的软件包不能与 NumPy 2 一起使用，它们的版本要一起选定。错误信息：{said}",
    ),
    "import-cut": (
        "{name} 的某个文件已损坏，或属于另一种系统。",
        "磁盘写满或下载中断会留下不完整的文件。错误信息：{said}",
    ),
    "import-architecture": (
        "{name} 是为另一种处理器安装的。",
        "把环境从别的机器复制过来就会这样。错误信息：{said}",
    ),
    "import-macos": (
        "{name} 需要更新的 macOS。",
        "错误信息：{said}",
    ),
    "import-map": (
        "系统不允许 {name} 加载机器码。",
        "可能是内存受限（见 `ulimit -v`），也可能是环境所在的磁盘禁止运行程序（以 noexec 挂载）：请换个位置。"
        "错误信息：{said}",
    ),
    "import-memory": (
        "内存不足，无法加载 {name}。",
        "请关闭其他程序。JAX 约需 0.5 GB；Millrace 的解释器需要的更少。",
    ),
    "import-library": (
        "{name} 缺少系统库：{found}",
        "精简的系统和容器里常常没有它。不使用 apt 的系统上，软件包的名称类似。",
    ),
    "import-dll": (
        "无法加载 {name}：DLL load failed。",
        "几乎总是因为微软 C++ 运行库缺失或过旧；否则就是 {name} 的某个文件已损坏。请依次尝试这些命令，"
        "每次都打开新的终端。",
    ),
    "import-symbol": (
        "{name} 的各部分来自不同版本。",
        "某一部分需要的内容，另一部分没有提供。错误信息：{said}",
    ),
    "import-permission": (
        "没有读取 {name} 文件的权限。",
        "这些文件是由别的用户安装的，可能用了 sudo。错误信息：{said}",
    ),
    "import-masked": (
        "你的某个文件可能与 {name} 所需的模块同名。",
        "请在这个目录里找到它并改名。如果没有这样的文件，就是 {name} 已损坏。错误信息：{said}",
    ),
    "import-absent": (
        "无法导入 {name}：缺少模块 {found}。",
        "它被卸载了，或者安装过程被中断。",
    ),
    "import-slow": (
        "导入 {name} 两分钟内没有完成。",
        "目录位于很慢的网络盘上，或者 GPU 驱动没有响应，都会造成这种情况。"
        "下面的命令会逐个显示导入的模块，停住的地方就是原因。",
    ),
    "import-illegal": (
        "导入 {name} 时遇到非法指令而终止。",
        "这个安装包是为更新的处理器编译的，或者模拟器不支持某些指令。Millrace 的解释器只需要 NumPy。",
    ),
    "import-crash": (
        "导入 {name} 时崩溃（退出码 {found}）。",
        "版本混杂或文件损坏会造成这种情况。请重新安装。如果仍然崩溃，请设置 PYTHONFAULTHANDLER=1，看它指出哪个文件。",
    ),
    "import-killed": (
        "导入 {name} 时被系统终止。",
        "几乎总是因为内存耗尽。请关闭其他程序，或给容器更多内存。",
    ),
    "import-unknown": (
        "无法导入 {name}。",
        "这是未知的错误：{said}",
    ),
    "platform-absent": (
        "JAX 被要求在 {platform} 上计算，但没有安装相应的插件。",
        "这是 JAX_PLATFORMS={value} 规定的。不设置时，JAX 会选用现有的最佳设备。",
    ),
    "flags-unreadable": (
        "XLA_FLAGS 以 {flag} 开头，这不是选项。",
        "选项以 -- 开头。其他内容会被 XLA 当作选项文件的名称；文件不存在时，它会终止程序。",
    ),
    "compiler-off": (
        "JAX_DISABLE_JIT 关闭了编译。",
        "每个运算都单独执行：结果正确，但慢很多倍。",
    ),
    "one-thread": (
        "{variable}=1：NumPy 的矩阵乘法只用 {cores} 个核中的一个。",
        "Millrace 的解释器因此变慢；编译后的程序不受影响。",
    ),
    "gpu-no-plugin": (
        "有 GPU（{gpu}），但 JAX 在 CPU 上计算。",
        "没有安装 JAX 的 NVIDIA GPU 插件。驱动 {driver} 可以支持它。下载量有几个 GB。",
    ),
    "gpu-no-driver": (
        "安装了 {plugin}，但没有 NVIDIA 驱动响应。",
        "JAX 在 CPU 上计算。如果有 GPU，请查看驱动给出的信息。容器需要用 --gpus all 启动。",
    ),
    "gpu-silent": (
        "似乎有 NVIDIA GPU，但驱动没有响应。",
        "命令 nvidia-smi 不存在或执行失败。请看它的输出；容器需要用 --gpus all 启动。",
    ),
    "gpu-hidden": (
        "CUDA_VISIBLE_DEVICES 隐藏了 GPU（{gpu}）。",
        "只要这样设置，JAX 就在 CPU 上计算。",
    ),
    "gpu-too-old": (
        "GPU（{gpu}）或其驱动 {driver} 对 JAX 来说太旧。",
        "JAX 需要驱动 {least} 或更新的版本，计算能力 {capability} 或更高。更新驱动也许就够了；"
        "在此之前 Millrace 在 CPU 上计算。",
    ),
    "gpu-plugin-version": (
        "{plugin} {have} 与 jaxlib {jaxlib} 不匹配。",
        "JAX 会忽略版本不同的插件，在 CPU 上计算。",
    ),
    "gpu-driver-old": (
        "驱动 {driver} 或 GPU（{gpu}）对 CUDA {cuda} 来说太旧。",
        "JAX 的 CUDA {cuda} 插件需要驱动 {least} 或更新的版本，计算能力 {capability} 或更高。",
    ),
    "gpu-libraries": (
        "LD_LIBRARY_PATH 带来了另外的 CUDA 库。",
        "它们会先于 {plugin} 自带的库被找到，版本可能不同：{folder} 里的 {file}",
    ),
    "gpu-windows": (
        "在 Windows 上，JAX 只用 CPU 计算，尽管有 GPU（{gpu}）。",
        "Windows 的 Linux 子系统（WSL 2）可以使用它：请在其中安装 Millrace。",
    ),
    "runs-unwritable": (
        "无法写入当前目录：{folder}",
        "训练结果保存在其中的 `runs` 里。系统的说明：{why}。请换个目录运行，或者指定另一个位置：",
    ),
    "cache-unwritable": (
        "编译好的程序无法保存到 {folder}",
        "每次运行都要重新编译，需要几秒到几分钟。系统的说明：{why}。",
    ),
    "temporary-unwritable": (
        "无法写入临时文件目录：{folder}",
        "pip、JAX 和 Millrace 都需要它。系统的说明：{why}。",
    ),
    "data-missing": (
        "MILLRACE_DATA 指定的目录不存在：{folder}",
        "数据集要在其中查找。请更正名称，或者建立这个目录。",
    ),
    "disk-full": (
        "磁盘快满了：{folder} 只剩 {free}",
        "检查点和报告将无法写入。安装约需 750 MB，一次 AlexNet 训练约需 2 GB。",
    ),
    "disk-little": (
        "磁盘空间不多：{folder} 还剩 {free}",
        "小型训练够用。安装约需 750 MB，一次 AlexNet 训练约需 2 GB。",
    ),
    "memory-little": (
        "内存很少：{usable}。",
        "仅 JAX 就约需 0.5 GB。Millrace 的解释器需要的更少，可以训练小型网络。",
    ),
    "memory-small": (
        "{usable} 的内存足够用于小型网络。",
        "批量大小为 128 的 AlexNet 约需 4 GiB。批量越小，所需越少。",
    ),
    "memory-limited": (
        "这个进程可以使用 {usable} 内存，机器共有 {whole}。",
        "这一限制由容器或作业调度系统设定，超出的进程会被终止。",
    ),
}
