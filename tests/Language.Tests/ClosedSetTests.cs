using Ndif.Protocol;

namespace Ndif.Language.Tests;

/// <summary>
/// nnsight's test_serialization_edge_cases.py and test_whitelist_serialization.py: what may not run on the service. A program contains no
/// code, only operations of a closed set; any other operation is refused before the job is queued.
/// </summary>
public sealed class ClosedSetTests(ServiceFixture service) : LanguageTests(service)
{
    public static TheoryData<ExecutionMode, string> Refused => new(
        from way in Enum.GetValues<ExecutionMode>()
        from op in (string[])["os.system", "subprocess.run", "socket.socket", "shutil.rmtree", "eval", "exec", "open", "__import__",
            "getattr", "softmx"]
        select (way, op));

    [Theory, MemberData(nameof(Refused))]
    [PortedFrom("test_serialization_edge_cases/test_prohibited_module_os",
        "test_serialization_edge_cases/test_prohibited_module_subprocess",
        "test_serialization_edge_cases/test_prohibited_module_socket", "test_serialization_edge_cases/test_prohibited_module_shutil",
        "test_serialization_edge_cases/test_prohibited_builtin_eval", "test_serialization_edge_cases/test_prohibited_builtin_exec",
        "test_serialization_edge_cases/test_prohibited_builtin_open", "test_whitelist_serialization/test_non_whitelisted_modules")]
    public async Task AnOperationOutsideOfTheTable_IsRefused(ExecutionMode mode, string op)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        llm.Layers[0].Hidden.Relu().Save();
        t.ToProgram().Nodes.Single(node => node.Call is { Op: "relu" }).Call.Op = op; // the client cannot record such a call
        var refused = await Assert.ThrowsAsync<BadProgramException>(() => t.RunAsync(Cancel));
        Assert.Equal(ErrorCode.UnknownOp, refused.Code);
        Assert.StartsWith($"There is no operation `{op}`.", refused.Message, StringComparison.Ordinal);
        Assert.Contains("ClosedSetTests.cs:", refused.Message, StringComparison.Ordinal);
        if (op == "softmx") Assert.Contains("Did you mean `softmax`", refused.Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_serialization_edge_cases/test_whitelisted_module_torch", "test_serialization_edge_cases/test_whitelisted_module_math",
        "test_serialization_edge_cases/test_safe_builtins_allowed", "test_whitelist_serialization/test_whitelisted_modules")]
    public async Task TorchsFunctions_Arithmetic_ListsAndNumbers_Run(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        Value hidden = llm.Layers[0].Hidden;
        ValueList list = t.List(hidden.Shape[0], 2, Math.Sqrt(16));
        Saved result = (hidden.Softmax(-1).Sum(dim: -1) - 1).Relu().Abs().Max().Save(), items = list.Save(), length = list.Len().Save();
        await t.RunAsync(Cancel);
        Assert.InRange(result.Item<float>(), 0, 1e-5);
        Assert.Equal([1L, 2L, 4.0], (object?[])items.Result!);
        Assert.Equal(3, length.Item<long>());
    }

    [Theory, MemberData(nameof(Modes))]
    public void AnObjectOfThisProcess_CannotBePartOfAProgram(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        Assert.Contains("A FileInfo cannot be part of a program", Assert.Throws<ArgumentException>(() => t.Log(new FileInfo("x"))).Message,
            StringComparison.Ordinal);
    }
}
