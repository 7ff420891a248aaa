using Ndif.Engine;

namespace Ndif.Language.Tests;

/// <summary>nnsight's test_tiny.py: any module, conditions, sessions, stopping.</summary>
public sealed class TinyTests(ServiceFixture service) : LanguageTests(service)
{
    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestBasicTracing.test_save_output", "v0.4/test_tiny/test_tiny")]
    public async Task AModulesOutput_IsSaved(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Trace t = net.Trace(mode);
        Saved input = net.Layer1.Input.Save(), first = net.Layer1.Output.Save(), second = net.Layer2.Output.Save();
        await t.RunAsync(Cancel);
        Assert.Equal([1, 10], first.Tensor.Shape.ToArray());
        Same(net.Input.ToData(), input);
        Same(net.Plain(), second);
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestBasicTracing.test_torch_creation_operations", "v0.4/test_tiny/test_torch_creation_operations_patch")]
    public async Task NewTensors_TakeSizesOfValues(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Trace t = net.Trace(mode);
        Value l1 = net.Layer1.Output;
        (string Name, long[] Shape, Saved Saved)[] made =
        [
            ("arange", [9], Op.Arange(l1.Shape[0], l1.Shape[1]).Save()),
            ("eye", [1, 1], Op.Eye(l1.Shape[0]).Save()),
            ("full", [1, 10], Op.Full(l1.Shape, 5).Save()),
            ("linspace", [5], Op.LinSpace(l1.Shape[0], l1.Shape[1], 5).Save()),
            ("logspace", [5], Op.LogSpace(l1.Shape[0], l1.Shape[1], 5).Save()),
            ("ones", [1, 10], Op.Ones(l1.Shape).Save()),
            ("rand", [1, 10], Op.Rand(l1.Shape).Save()),
            ("randint", [10, 1], Op.RandInt(l1.Shape[0], l1.Shape[1], [l1.Shape[1], l1.Shape[0]]).Save()),
            ("randn", [10, 1], Op.Randn([l1.Shape[1], l1.Shape[0]]).Save()),
            ("randperm", [10], Op.RandPerm(l1.Shape[1]).Save()),
            ("zeros", [1, 10], Op.Zeros(l1.Shape).Save()),
        ];
        await t.RunAsync(Cancel);
        Assert.All(made, one => Assert.Equal(one.Shape, one.Saved.Tensor.Shape.ToArray()));
        Assert.Equal([1L, 2, 3, 4, 5, 6, 7, 8, 9], made[0].Saved.ToArray<long>());
        Assert.All(made[2].Saved.ToArray<float>(), x => Assert.Equal(5, x));
        Assert.Equal(Enumerable.Range(0, 10).Select(i => (long)i), made[^2].Saved.ToArray<long>().Order());
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestConditionals.test_true_conditional", "v0.4/test_tiny/test_true_conditional_protocol",
        "test_tiny/TestConditionals.test_false_conditional", "v0.4/test_tiny/test_false_conditional_protocol")]
    public async Task ABranch_RunsIfItsConditionHolds_AndOtherwiseItsSaveIsUnset(ExecutionMode mode)
    {
        foreach (bool holds in (bool[])[true, false])
        {
            using TinyNet net = new();
            using Trace t = net.Trace(mode);
            Saved taken = null!, always = net.Layer1.Output.Shape.Save();
            t.If(net.Layer1.Output.Shape[1].Eq(holds ? 10 : 11), () =>
            {
                net.Layer2.Output[..] = 1;
                taken = net.Layer2.Output.Save();
            });
            await t.RunAsync(Cancel);
            Assert.Equal(holds, taken.HasValue);
            Assert.Equal([1L, 10L], Numbers(always));
            if (holds) Assert.Equal([1f, 1], taken.ToArray<float>());
            else Assert.Contains("its branch was not taken", Assert.Throws<InvalidOperationException>(() => taken.Tensor).Message,
                StringComparison.Ordinal);
        }
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestConditionals.test_tensor_as_condition", "v0.4/test_tiny/test_node_as_condition")]
    public async Task ATensorOfOneElement_IsACondition(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Trace t = net.Trace(mode);
        Value l1 = net.Layer1.Output;
        l1[..] = 1;
        Saved yes = null!, no = null!;
        t.If(l1[0, 0] > 0, () => yes = (l1 * 2).Save());
        t.If((l1 > 1).Any(), () => no = l1.Save());
        await t.RunAsync(Cancel);
        Assert.All(yes.ToArray<float>(), x => Assert.Equal(2, x));
        Assert.False(no.HasValue);
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestConditionals.test_multiple_dependent_conditionals", "v0.4/test_tiny/test_multiple_dependent_conditionals")]
    public async Task BranchesThatDependOnOneAnother_SeeWhatTheOthersDid(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Trace t = net.Trace(mode);
        Value l1 = net.Layer1.Output;
        Variable sum = t.Variable(l1.Shape[1]);
        t.If(sum.Value.Eq(10), () => sum.Set(sum.Value + 5));
        t.If(sum.Value.Eq(15), () => sum.Set(sum.Value * 2));
        t.If(sum.Value.Eq(10), () => sum.Set(-1));
        Saved result = sum.Value.Save();
        await t.RunAsync(Cancel);
        Assert.Equal(30, result.Item<long>());
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestConditionals.test_nested_conditionals", "v0.4/test_tiny/test_nested_conditionals")]
    public async Task BranchesWithinBranches_RunOnlyIfTheOuterOneDoes(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Trace t = net.Trace(mode);
        Value width = net.Layer1.Output.Shape[1];
        Saved inner = null!, never = null!, within = null!, otherwise = null!;
        t.If(width.Eq(10), () =>
        {
            t.If(width > 5, () => inner = (width + 1).Save()).Else(() => never = width.Save());
        });
        t.If(width.Eq(3), () => t.If(width > 5, () => within = width.Save())).ElseIf(width.Eq(4), () => never = width.Save())
            .Else(() => otherwise = (width * 3).Save());
        await t.RunAsync(Cancel);
        Assert.Equal(11, inner.Item<long>());
        Assert.Equal(30, otherwise.Item<long>());
        Assert.All((Saved[])[never, within], saved => Assert.False(saved.HasValue));
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestSession.test_cross_trace_intervention")]
    public async Task AValueOfOneTrace_IsUsedInTheNext(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Session s = net.Model.Session(Backend(mode));
        Value first;
        Saved output;
        using (net.Model.Trace(net.Input)) first = net.Layer1.Output * 0;
        using (net.Model.Trace(net.Input))
        {
            net.Layer1.Output = first;
            output = net.Layer2.Input.Save();
        }
        await s.RunAsync(Cancel);
        Zero(output);
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestSession.test_conditional_trace", "v0.4/test_tiny/test_conditional_trace")]
    public async Task ATrace_RunsInABranchOfASession(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Session s = net.Model.Session(Backend(mode));
        Saved taken = null!, not = null!;
        Value width;
        using (net.Model.Trace(net.Input)) width = net.Layer1.Output.Shape[1];
        s.If(width.Eq(10), () =>
        {
            using Trace t = net.Model.Trace(net.Input);
            taken = net.Layer2.Output.Save();
        }).Else(() =>
        {
            using Trace t = net.Model.Trace(net.Input);
            not = net.Layer2.Output.Save();
        });
        await s.RunAsync(Cancel);
        Same(net.Plain(), taken);
        Assert.False(not.HasValue);
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestSession.test_conditional_iteration", "v0.4/test_tiny/test_conditional_iteration")]
    public async Task ABranchInALoop_IsDecidedInEachTurn(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Session s = net.Model.Session(Backend(mode));
        ValueList even = s.List(), outputs = s.List();
        s.ForEach(Enumerable.Range(0, 4), i => s.If((i % 2).Eq(0), () =>
        {
            using Trace t = net.Model.Trace(net.Input);
            outputs.Append(net.Layer2.Output);
        }).Else(() => even.Append(i)));
        Saved odd = even.Save(), all = outputs.Save();
        await s.RunAsync(Cancel);
        Assert.Equal([1L, 3L], Numbers(odd));
        Assert.Equal(2, Tensors(all).Length);
        Assert.All(Tensors(all), output => Same(net.Plain(), output));
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestSession.test_bridge_protocol", "v0.4/test_tiny/test_bridge_protocol")]
    public async Task AValueOfTheSession_IsUsedInItsTraces(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Session s = net.Model.Session(Backend(mode));
        Value factor = Op.Full([1, 10], 3) + 1;
        Saved edited;
        using (net.Model.Trace(net.Input))
        {
            net.Layer1.Output = net.Layer1.Output * 0 + factor;
            edited = net.Layer2.Input.Save();
        }
        Saved sum = (factor.Sum() * 2).Save();
        await s.RunAsync(Cancel);
        Assert.All(edited.ToArray<float>(), x => Assert.Equal(4, x));
        Assert.Equal(80, sum.Item<float>());
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestSession.test_loop_with_break", "test_tiny/TestEarlyStopping.test_bridged_node_cleanup",
        "v0.4/test_tiny/test_bridged_node_cleanup",
        "v0.4/test_tiny/test_stop_forward_pass_in_loop")]
    public async Task ALoop_IsLeftByBreak_AndLeavesNothingBehind(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Session s = net.Model.Session(Backend(mode));
        Value bridged = Op.Ones([1, 10]);
        ValueList seen = s.List();
        s.ForEach(Enumerable.Range(0, 10), i =>
        {
            using (net.Model.Trace(net.Input))
            {
                net.Layer1.Output = bridged * i;
                seen.Append(net.Layer2.Input[0, 0]);
            }
            s.If(i.Eq(2), s.Break);
        });
        Saved saved = seen.Save();
        await s.RunAsync(Cancel);
        Assert.Equal([0f, 1, 2], Tensors(saved).Select(x => x.Item<float>()));
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestSession.test_nested_iterator", "v0.4/test_tiny/test_nested_iterator")]
    public async Task LoopsWithinLoops_RunEachTurn(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Session s = net.Model.Session(Backend(mode));
        ValueList all = s.List();
        s.ForEach(Enumerable.Range(1, 3), i => s.ForEach(Enumerable.Range(1, 2), j => all.Append(i * 10 + j)));
        Saved saved = all.Save();
        await s.RunAsync(Cancel);
        Assert.Equal([11L, 12, 21, 22, 31, 32], Numbers(saved));
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestSession.test_nnsight_builtins", "v0.4/test_tiny/test_nnsight_builtins")]
    public async Task ListsNumbersTextsAndDictionaries_AreSaved(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Session s = net.Model.Session(Backend(mode));
        ValueList list = s.List();
        ValueMap map = s.Map();
        Value number;
        using (net.Model.Trace(net.Input))
        {
            number = net.Layer1.Output.Shape[1];
            list.Append(net.Layer1.Output.Shape[0]);
            map.Put("width", number);
        }
        list.Append(number);
        list.Append(number / 4);
        map.Put("many", number > 5);
        Saved items = list.Save(), entries = map.Save(), one = (number + 1).Save();
        await s.RunAsync(Cancel);
        Assert.Equal([1L, 10L, 2.5], (object?[])items.Result!);
        Assert.Equal(10L, entries["width"] is Saved width ? width.Result : null);
        Assert.Equal(true, entries["many"] is Saved many ? many.Result : null);
        Assert.Equal(11L, one.Result);
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_tiny/TestEarlyStopping.test_stop_protocol", "test_tiny/TestEarlyStopping.test_stop_prevents_operations",
        "v0.4/test_tiny/test_early_stop_protocol", "v0.4/test_tiny/test_tracer_stop",
        "v0.4/test_tiny/test_sequential_graph_based_context_exit")]
    public async Task Stop_KeepsWhatWasSaved_AndDropsTheRest(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Trace t = net.Trace(mode);
        Saved before = net.Layer1.Output.Save();
        t.Stop();
        Saved after = net.Layer2.Output.Save();
        await t.RunAsync(Cancel);
        Assert.Equal([1, 10], before.Tensor.Shape.ToArray());
        Assert.Contains("the trace was stopped before it", Assert.Throws<InvalidOperationException>(() => after.Tensor).Message,
            StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("v0.4/test_tiny/test_external_proxy_intervention_executed_locally")]
    public async Task ASavedResult_IsComputedWithHere_AfterTheRun(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Trace t = net.Trace(mode);
        Saved first = net.Layer1.Output.Save();
        await t.RunAsync(Cancel);
        TensorData doubled = first.Tensor * 2;
        Assert.Equal(2 * first.Tensor[0, 3].Item<float>(), doubled[0, 3].Item<float>());
        Assert.Equal(first.Tensor[.., 0].Item<float>(), ((Saved)first[.., 0]).Item<float>());
    }
}
