"""The texts in two languages: whole, alike, readable, and about things that there are."""

import ast
import inspect
import re
import tomllib
from pathlib import Path

import pytest

import millrace as mr
from millrace.ir.core import OPS, snake
from millrace.ir.errors import ArgumentError, MillraceError
from millrace.layers.base import Layer
from millrace.words import LANGUAGES, parts, words

FOLDER = Path(inspect.getfile(inspect.unwrap(words))).parent
KEYS = {"purpose", "use", "avoid"}
LONGEST = {"en": 320, "zh": 160}  # characters of one text


def layers():
    """Each public layer, and the file that its words belong into: that of its room."""
    public = [getattr(mr.layers, name) for name in mr.layers.__all__]
    kinds = [x for x in public if isinstance(x, type) and issubclass(x, Layer) and x is not Layer]
    return {kind.__name__: f"layers_{kind.__module__.rpartition('.')[2]}.toml" for kind in kinds}


def registered(known, file):
    """Each class of the house among those that register themselves by name."""
    return {x.__name__: file for x in known.values() if x.__module__.startswith("millrace.")}


def functions():
    """Each public function, and each operation under the name that a printed graph gives it."""
    home = {name: vars(mr.functional)[name].__module__ for name in mr.functional.__all__}
    home |= {name: "api" for name, x in vars(mr.api).items() if inspect.isfunction(x) and name not in home}
    operations = {snake(name): op.__module__ for name, op in OPS.items() if op.__module__.startswith("millrace.")}
    return {name: f"functions_{room.rpartition('.')[2]}.toml" for name, room in (operations | home).items()}


# What must have words: the part, and its names with the file that each belongs into.
EXPLAINED = {
    "functions": functions(),
    "layers": layers(),
    "optimizers": registered(mr.optimizers.Optimizer.known, "optimizers.toml"),
    "losses": registered(mr.losses.Loss.known, "losses.toml"),
}

in_each_language = pytest.mark.parametrize("language", LANGUAGES)
of_each_part = pytest.mark.parametrize("part", EXPLAINED)
any_part = pytest.mark.parametrize("part", parts())


def texts(part, language):
    """Every text of a part, with the place to mend it."""
    for name, table in words(part, language).items():
        for key, text in table.items():
            yield f"{language}/{part}: [{name}] {key}", text


def coded(text):
    """What stands in backquotes."""
    return re.findall(r"`([^`]+)`", text)


# ---- the same in every language


def test_every_language_has_the_same_parts():
    assert {language: parts(language) for language in LANGUAGES} == dict.fromkeys(LANGUAGES, parts())


@any_part
def test_every_language_says_the_same_things(part):
    for language in LANGUAGES[1:]:
        here, there = words(part), words(part, language)
        assert set(here) == set(there), f"words/{language}: other names in {part!r} than words/{LANGUAGES[0]}"
        for name, table in here.items():
            assert set(table) == set(there[name]), f"words/{language}: other keys in [{name}] of {part!r}"


@any_part
def test_every_language_is_filled_in_with_the_same_names(part):
    def filled(text):
        return set(re.findall(r"\{([a-z_]\w*)[^{}\"']*\}", re.sub("`[^`]*`", "", text)))

    for language in LANGUAGES[1:]:
        for (place, text), (_, first) in zip(texts(part, language), texts(part, LANGUAGES[0]), strict=True):
            assert filled(text) == filled(first), place


@of_each_part
def test_every_language_names_the_same_classes_and_figures(part):
    """A translation that lost a layer's name, or a digit of 37,752,832, says something else."""

    def told(table):
        text = " ".join(table.values())
        figures = re.findall(r"\d+[.,]\d[\d.,]*\d|\d+[.,]\d", text)
        return set(re.findall(r"\b[A-Z]\w*[a-z]\w*", " ".join(coded(text)))), set(figures)

    for name, table in words(part).items():
        assert told(table) == told(words(part, "zh")[name]), f"[{name}] of {part!r}"


# ---- all there


@in_each_language
@of_each_part
def test_whatever_can_be_named_has_its_words(part, language):
    said = set(words(part, language))
    missing = {name: file for name, file in EXPLAINED[part].items() if name not in said}
    assert not missing, "".join(
        f"\nadd [{name}] with purpose, use and avoid to src/millrace/words/{language}/{file}"
        for name, file in missing.items()
    )
    gone = said - set(EXPLAINED[part])
    assert not gone, f"src/millrace/words/{language}/{part}*.toml has words for what is not there: {sorted(gone)}"


@in_each_language
@of_each_part
def test_words_stand_once_in_the_file_of_their_kind(part, language):
    where = {}
    for file in sorted((FOLDER / language).glob(f"{part}*.toml")):
        for name in tomllib.loads(file.read_text("utf-8")):
            where.setdefault(name, []).append(file.name)
    assert where == {name: [file] for name, file in EXPLAINED[part].items()}


@in_each_language
@of_each_part
def test_each_has_the_three_texts_and_each_text_an_end(part, language):
    for name, table in words(part, language).items():
        assert set(table) == KEYS, f"{language}/{part}: [{name}]"
    for place, text in texts(part, language):
        assert text == text.strip() and "  " not in text and "\n" not in text, f"{place}: spaces too many"
        assert text.endswith(("。", "？") if language == "zh" else (".", "?")), f"{place}: no end"
        assert 6 <= len(text) <= LONGEST[language], f"{place}: {len(text)} characters"
        assert text.count("`") % 2 == 0 and plain(text).count("**") % 2 == 0, f"{place}: a mark is not closed"


@in_each_language
def test_no_text_stands_for_two_things(language):
    places = {}
    for part in EXPLAINED:
        for place, text in texts(part, language):
            places.setdefault(text, []).append(place)
    assert not [shared for shared in places.values() if len(shared) > 1]


# ---- Chinese as it is written

CHINESE = "[\u4e00-\u9fff]"

# What is said otherwise in the house, and how.
TERMS = {
    "批标准化": "批量归一化", "批归一化": "批量归一化", "批规范化": "批量归一化", "批次大小": "批量大小",
    "批尺寸": "批量大小", "稠密层": "全连接层", "密集层": "全连接层", "特征映射": "特征图",
    "递归神经网络": "循环神经网络", "门控递归": "门控循环", "长短时记忆": "长短期记忆", "学习速率": "学习率",
    "过度拟合": "过拟合", "拟合不足": "欠拟合", "交叉墒": "交叉熵", "梯度弥散": "梯度消失", "卷积内核": "卷积核",
    "滤波核": "卷积核", "权值": "权重", "偏差项": "偏置", "偏移项": "偏置", "失活": "丢弃法", "丢失率": "丢弃率",
    "保持概率": "保留概率", "汇聚层": "池化层", "缺省": "默认", "矢量": "向量", "随机数种子": "随机种子",
    "混淆阵": "混淆矩阵", "数据扩充": "数据增强", "数据增广": "数据增强", "激励函数": "激活函数",
    "代价函数": "损失函数", "局部响应标准化": "局部响应归一化", "自动求导": "自动微分", "反向传递": "反向传播",
    "链式规则": "链式法则",
}  # fmt: skip
TRADITIONAL = "層權圖數張學習訓練過擬參預測單與時對這個們會來為還沒從應當變種類輸導點見網誤標準優徑記憶絕樣"


def plain(text):
    """A text without its code."""
    return re.sub("`[^`]*`", "`", text)


@of_each_part
def test_chinese_is_chinese_and_english_is_not(part):
    for place, text in texts(part, "zh"):
        assert len(re.findall(CHINESE, text)) >= 6, f"{place}: not in Chinese"
    for place, text in texts(part, "en"):
        assert not re.search(f"{CHINESE}|[，。：；（）、]", text), f"{place}: not in English"


@any_part
def test_chinese_has_full_width_marks(part):
    marks = f"{CHINESE} ?[,;:?!]|[,;:?!] ?{CHINESE}|{CHINESE}\\."
    brackets = f"{CHINESE}\\(|\\){CHINESE}|(?<![A-Za-z0-9])\\((?![^()]* [-+*/=] )[^()]*{CHINESE}"  # not 1 / (1 - 动量)
    narrow = f"{marks}|{brackets}"
    for place, text in texts(part, "zh"):
        found = re.search(narrow, plain(text))
        assert not found, f"{place}: a half-width mark in {text[max(found.start() - 8, 0) : found.end() + 8]!r}"
        assert not re.search(" [，。：；（）、！？]|[，。：；（）、！？] ", text), (
            f"{place}: a space beside a full-width mark"
        )


@any_part
def test_chinese_uses_the_terms_of_the_house(part):
    for place, text in texts(part, "zh"):
        wrong = {term: right for term, right in TERMS.items() if term in text}
        assert not wrong, f"{place}: {wrong}"
        assert not set(text) & set(TRADITIONAL), f"{place}: {set(text) & set(TRADITIONAL)}"


# ---- about things that there are

SPACES = (mr.layers, mr.optimizers, mr.losses, mr.metrics, mr.callbacks, mr.api)
PYTHON = {"True", "False", "None", "MyCell"}


def classes():
    return {name: x for space in SPACES for name, x in vars(space).items() if isinstance(x, type)}


def arguments():
    """The names of all arguments of what is public."""
    callables = [x for space in SPACES for name, x in vars(space).items() if callable(x) and not name.startswith("_")]
    callables += [mr.Model.fit, *(x.call for x in classes().values() if hasattr(x, "call"))]
    found = set()
    for one in callables:
        try:
            found |= set(inspect.signature(one).parameters)
        except (TypeError, ValueError):
            continue
    kinds = (kind for x in classes().values() for kind in x.__mro__ if "__init__" in vars(kind))
    return found | {name for kind in kinds for name in inspect.signature(kind.__init__).parameters}


@in_each_language
@of_each_part
def test_names_in_backquotes_exist(part, language):
    known = set(classes()) | set(OPS) | PYTHON | {name for space in SPACES for name in vars(space)}
    for place, text in texts(part, language):
        for code in coded(text):
            bare = re.sub("\"[^\"]*\"|'[^']*'", "", code)
            named = set(re.findall(r"(?<![\w.])[A-Z]\w*[a-z]\w*", bare))
            assert named <= known, f"{place}: `{code}` names {sorted(named - known)}"


@in_each_language
@of_each_part
def test_arguments_in_backquotes_exist(part, language):
    known = arguments()
    for place, text in texts(part, language):
        for code in coded(text):
            named = set(re.findall(r"(?<![\w.])([a-z_]\w*)=(?!=)", code))
            assert named <= known, f"{place}: `{code}` has no such argument: {sorted(named - known)}"


@pytest.fixture
def plain_policy():
    """What a text sets, such as a dtype policy, does not stay behind."""
    yield
    mr.set_dtype_policy(None)
    mr.set_seed(0)


@in_each_language
@of_each_part
def test_calls_in_backquotes_work(part, language, plain_policy):
    """`Conv2D(128, 1, 2)` can be made; what needs something that is not told, such as x, is left out."""
    space = {**classes(), "mr": mr}
    for place, text in texts(part, language):
        for code in coded(text):
            try:
                tree = ast.parse(code.partition("=")[2] if code.startswith("shortcut=") else code, mode="eval")
            except SyntaxError:
                continue
            free = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            if not isinstance(tree.body, ast.Call) or not free <= set(space) or "..." in code:
                continue
            try:
                eval(compile(tree, place, "eval"), dict(space))
            except MillraceError as error:
                if "missing a required argument" not in str(error):  # `Embedding(mask_zero=True)` means the argument
                    pytest.fail(f"{place}: `{code}` fails: {error}")


# ---- the loader


def test_a_part_is_all_of_its_files():
    assert words("layers")["Conv2D"]["purpose"].startswith("Moves small kernels over an image")
    assert words("layers", "zh")["Dense"]["purpose"].startswith("全连接层")
    assert {"Conv2D", "LSTM", "Add"} <= set(words("layers")), "one file alone was read"


def test_a_part_is_not_what_begins_like_it(monkeypatch, tmp_path):
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "lay_one.toml").write_text('[One]\npurpose = "1"', "utf-8")
    (tmp_path / "en" / "layers.toml").write_text('[Two]\npurpose = "2"', "utf-8")
    (tmp_path / "en" / "lay.txt").write_text("no words", "utf-8")
    monkeypatch.setattr("millrace.words.files", lambda room: tmp_path)
    assert words.__wrapped__("lay") == {"One": {"purpose": "1"}}
    assert parts() == ["lay", "layers"]


def test_an_unknown_language_is_refused():
    with pytest.raises(ArgumentError, match=r"unknown language 'fr'.*Known: en, zh"):
        words("layers", "fr")


@in_each_language
def test_an_unknown_part_is_refused(language):
    with pytest.raises(ArgumentError, match=r"unknown part of the texts 'layer'. Did you mean 'layers'"):
        words("layer", language)
