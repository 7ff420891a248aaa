using Ndif.Engine;
using Ndif.Protocol;


namespace Ndif.Language.Tests;

/// <summary>nnsight's test_lm.py, TestRename, and access to modules by alias, by path and by a range of a module list.</summary>
public sealed class RenameTests(ServiceFixture service) : LanguageTests(service)
{
    private async Task AssertSameAsync(LanguageModel llm, Func<Envoy> alias, Func<Envoy> name)
    {
        using Trace t = llm.Trace();
        Saved one, other;
        using (t.Invoke("Hello")) one = alias().Hidden.Save();
        using (t.Invoke("Hello")) other = name().Hidden.Save();
        await t.RunAsync(Cancel);
        Same(one, other);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestRename.test_rename_module")]
    public async Task AModulesName_IsRenamedWhereverItStands(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode, new() { ["mlp"] = "my_mlp" });
        for (int layer = 0; layer < 4; layer++) Assert.Equal($"transformer.h.{layer}.mlp", llm[$"transformer.h.{layer}.my_mlp"].Path);
        await AssertSameAsync(llm, () => llm["transformer.h"][2]["my_mlp"], () => llm["transformer.h.2.mlp"]);
        Assert.Contains("(my_mlp/mlp): GPT2MLP(", llm.ToString(), StringComparison.Ordinal);
        Assert.Contains("(0-3): 4 x GPT2Block(", llm.ToString(), StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestRename.test_rename_path")]
    public async Task APath_GetsANameAtTheRoot(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode, new() { ["transformer.h.3.mlp"] = "last_mlp", [".transformer.ln_f"] = ".transformer.norm" });
        await AssertSameAsync(llm, () => llm["last_mlp"], () => llm["transformer.h.3.mlp"]);
        await AssertSameAsync(llm, () => llm["transformer"]["norm"], () => llm.FinalNorm);
        Assert.Equal("transformer.h.3.mlp.c_fc", llm["last_mlp.c_fc"].Path);
        Assert.Contains("(last_mlp/mlp): GPT2MLP(", llm.ToString(), StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestRename.test_rename_module_list", "test_lm/TestRename.test_rename_module_list_path")]
    public async Task AModuleList_IsRenamed_ByNameOrByPath(ExecutionMode mode)
    {
        LanguageModel byName = Model(mode, new() { ["h"] = "layers" }),
            byPath = Model(mode, new() { ["transformer.h"] = ["layers", "blocks"] });
        await AssertSameAsync(byName, () => byName["transformer.layers"][1], () => byName.Layers[1]);
        foreach (string alias in (string[])["layers", "blocks"])
        {
            await AssertSameAsync(byPath, () => byPath[alias][^1], () => byPath.Layers[3]);
            Assert.Equal(4, byPath[alias].Count);
        }
        Assert.Contains("(layers/blocks/h): ModuleList(", byPath.ToString(), StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    public void ARenameOfNothing_OrToATakenName_IsRefused(ExecutionMode mode)
    {
        var unknown = Assert.Throws<BadProgramException>(() => Model(mode, new() { ["mpl"] = "x" })["transformer"]);
        Assert.Equal(ErrorCode.UnknownModule, unknown.Code);
        Assert.Contains("`mlp`", unknown.Message, StringComparison.Ordinal);
        Assert.Contains("transformer.g",
            Assert.Throws<BadProgramException>(() => Model(mode, new() { ["transformer.g"] = "x" })["transformer"]).Message,
            StringComparison.Ordinal);
        Assert.Equal(ErrorCode.BadArgument, Assert.Throws<BadProgramException>(() => Model(mode, new() { ["mlp"] = "attn" })["transformer"])
            .Code);
        Assert.Equal(ErrorCode.BadArgument,
            Assert.Throws<BadProgramException>(() => Model(mode, new() { ["transformer.h"] = "lm_head" })["transformer"]).Code);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task ModulesAreFound_ByPathByNumberAndByRange(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Envoy h = llm["transformer.h"];
        Assert.Equal("transformer.h.0.mlp", llm.Get("transformer.h.0.mlp").Path);
        Assert.Equal((4, "3", "transformer.h.3"), (h.Count, h[^1].Name, h[^1].Path));
        Assert.Equal(["transformer.h.1", "transformer.h.2"], h[1..3].Select(m => m.Path));
        Assert.Equal(["transformer.h.2", "transformer.h.3"], h[^2..].Select(m => m.Path));
        Assert.Equal(h.Select(m => m.Path), h[..].Select(m => m.Path));
        Assert.Throws<IndexOutOfRangeException>(() => h[2..9]);
        var named = llm.NamedModules().ToArray();
        Assert.Equal(llm.Description.Root.Paths().Prepend(""), named.Select(m => m.Path));
        Assert.Equal(4, llm.Modules(m => m.Name == "mlp").Count());
        using Trace t = llm.Trace("Hello");
        Saved input = llm.GetValue("transformer.h.1.input").Save(), hidden = h[1].GetValue("hidden").Save(),
            output = llm.GetValue("lm_head.output").Save();
        await t.RunAsync(Cancel);
        Assert.Equal([1, 1, 1422], output.Tensor.Shape.ToArray());
        Assert.Equal(input.Tensor.Shape.ToArray(), hidden.Tensor.Shape.ToArray());
        Assert.Contains("Get(\"transformer.h\")", Assert.Throws<ArgumentException>(() => llm.GetValue("transformer.h")).Message,
            StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(InProcessModes))]
    public async Task AUsersModule_IsRenamedToo(ExecutionMode mode)
    {
        using TinyNet net = new();
        NNsight model = net.Wrap(new() { ["layer1"] = ["first", "encoder"] });
        using Trace t = net.Trace(model, mode);
        Saved one = model["encoder"].Output.Save();
        await t.RunAsync(Cancel);
        Assert.Equal([1, 10], one.Tensor.Shape.ToArray());
        Assert.Contains("(first/encoder/layer1): Linear(", model.ToString(), StringComparison.Ordinal);
    }
}
