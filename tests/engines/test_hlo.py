"""Which node an instruction comes from, read from programs in XLA's text written by hand."""

from millrace.engines.hlo import containers, parse, sources

PROGRAM = """\
HloModule jit_program, is_scheduled=true

%fused_computation (param_0: f32[4]) -> f32[4] {
  %param_0 = f32[4]{0} parameter(0)
  %negate.1 = f32[4]{0} negate(%param_0)
  ROOT %tanh.1 = f32[4]{0} tanh(%negate.1), metadata={op_name="jit(program)/n7/tanh"}
}

%within.2 (x.1: f32[4]) -> f32[4] {
  %x.1 = f32[4]{0} parameter(0)
  ROOT %inner = f32[4]{0} add(%x.1, %x.1), metadata={op_name="add"}
}

%body.3 (state: (s64[], f32[4])) -> (s64[], f32[4]) {
  %state = (s64[], /*index=1*/f32[4]{0}) parameter(0)
  %count = s64[] get-tuple-element(%state), index=0
  %held = f32[4]{0} get-tuple-element(%state), index=1
  %twice = f32[4]{0} add(%held, %held), metadata={op_name="jit(program)/n9/while/body/closed_call/add"}
  ROOT %both = (s64[], f32[4]{0}) tuple(%count, %twice)
}

ENTRY %main.5 (Arg_0: f32[4], Arg_1: f32[4]) -> f32[4] {
  %Arg_0 = f32[4]{0} parameter(0), metadata={op_name="arrays[0]"}
  %Arg_1 = f32[4]{0} parameter(1), metadata={op_name="arrays[1]"}
  %copy.1 = f32[4]{0} copy(%Arg_1)
  %tanh_fusion = f32[4]{0} fusion(%Arg_0), kind=kLoop, calls=%fused_computation
  %call.1 = f32[4]{0} call(%tanh_fusion), to_apply=%within.2, metadata={op_name="jit(program)/n8/jit(within)"}
  %start = (s64[], f32[4]{0}) tuple(%call.1)
  %while.1 = (s64[], /*index=1*/f32[4]{0}) while(%start), body=%body.3, metadata={op_name="jit(program)/n9/while"}
  %copy.2 = f32[4]{0} copy(%call.1)
  ROOT %sum = f32[4]{0} add(%copy.1, %copy.2), metadata={op_name="jit(program)/n12/add"}
}
"""


def test_instructions_are_traced_to_the_nodes_they_come_from():
    found = sources(parse(PROGRAM))
    assert found["sum"] == 12, "by its own name"
    assert found["tanh_fusion"] == 7, "a fusion by its last instruction"
    assert found["inner"] == 8, "in a computation that is called, by who calls it"
    assert found["twice"] == 9, "inside a loop, by the loop's node"
    assert found["copy.2"] == 8, "a copy by what it copies"
    assert found["copy.1"] == 12, "a copy of an argument by who uses it"


def test_loops_and_calls_are_what_runs_others():
    assert containers(parse(PROGRAM)) == {"call.1", "while.1"}


def test_a_program_without_any_names_gives_nothing():
    text = "ENTRY %main (x: f32[]) -> f32[] {\n  %x = f32[] parameter(0)\n  ROOT %y = f32[] negate(%x)\n}\n"
    assert sources(parse(text)) == {}
