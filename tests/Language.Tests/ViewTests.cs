namespace Ndif.Language.Tests;

/// <summary>A user's names for views of a module, like nnsight's envoy classes. Extension members need no registration.</summary>
internal static class Views
{
    extension(Envoy module)
    {
        /// <summary>The output of an attention module by head: [batch, heads, seq, headDim].</summary>
        public View OutputHeads => module.View(x => x.SplitHeads(4), x => x.JoinHeads());

        /// <summary>A copy of the output. Edits of the copy are written back.</summary>
        public View Copied => module.View(x => x.Clone(), x => x);

        /// <summary>The negated output, which shows that the inverse is used.</summary>
        public View Negated => module.View(x => x * -1, x => x * -1);

        public Value Doubled() => module.Hidden * 2;
    }
}

/// <summary>nnsight's test_transform.py and test_envoys.py: views of a site with another shape, whose edits are written back.</summary>
public sealed class ViewTests(ServiceFixture service) : LanguageTests(service)
{
    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_transform/test_reshape_transform_per_head_edit", "test_transform/test_attention_heads_split_via_envoys",
        "test_envoys/TestNNsightClassAttribute.test_subclass_method_available_on_wrapped_children",
        "test_envoys/TestEnvoysParam.test_propagates_to_grandchildren")]
    public async Task OneHead_IsEditedThroughAView(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        Envoy attention = llm.Layers[1].Attn;
        Saved before = attention.Hidden.Clone().Save(), shape = attention.OutputHeads.Value.Shape.Save();
        attention.OutputHeads[.., 3] = 0;
        Saved after = attention.Hidden.Save(), heads = attention.OutputHeads.Value.Save();
        await t.RunAsync(Cancel);
        Assert.Equal([1L, 4, 8, 32], Numbers(shape));
        Same(before.Tensor[.., .., ..96], after.Tensor[.., .., ..96]);
        Zero(after.Tensor[.., .., 96..]);
        Zero(heads.Tensor[0, 3]);
        NotZero(before.Tensor[.., .., 96..]);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task TheHeadsBeforeTheyAreMixed_AreAViewOfTheProjectionsInput(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        Envoy projection = llm.Layers[1].Attn["c_proj"];
        View z = projection.InputView(x => x.SplitHeads(4), x => x.JoinHeads());
        z[.., 0] = 0;
        Saved input = projection.Input.Save(), logits = llm.LmHead.Output.Save();
        await t.RunAsync(Cancel);
        Zero(input.Tensor[.., .., ..32]);
        NotZero(input.Tensor[.., .., 32..]);
        Assert.Equal([1, 8, 1422], logits.Tensor.Shape.ToArray());
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_transform/test_clone_without_transform_does_not_propagate", "test_transform/test_clone_plus_transform_propagates")]
    public async Task AnEditOfACopy_ReachesTheModel_OnlyThroughAView(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        llm.Layers[1].Hidden.Clone()[..] = 0;
        Saved copied = llm.Layers[1].Hidden.Clone().Save();
        llm.Layers[1].Copied[..] = 0;
        Saved viewed = llm.Layers[1].Hidden.Save(), next = llm.Layers[2].Input.Save();
        await t.RunAsync(Cancel);
        NotZero(copied);
        Zero(viewed);
        Zero(next);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_transform/test_transform_can_replace_value_entirely", "test_transform/test_transform_is_one_shot_per_access",
        "test_transform/test_transform_without_preprocess")]
    public async Task WhatIsPutInAView_GoesBackThroughItsInverse(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        Saved before = llm.Layers[1].Hidden.Clone().Save(), negated = llm.Layers[1].Negated.Value.Save();
        llm.Layers[1].Negated.Value = llm.Layers[1].Negated.Value * 3;
        Saved after = llm.Layers[1].Hidden.Clone().Save();
        llm.Layers[1].Negated.Value = Op.OnesLike(llm.Layers[1].Hidden);
        Saved ones = llm.Layers[1].Hidden.Save(), doubled = llm.Layers[1].Doubled().Save();
        await t.RunAsync(Cancel);
        Same(before.Tensor * -1, negated);
        Near(before.Tensor * 3, after);
        Assert.All(ones.ToArray<float>(), x => Assert.Equal(-1, x));
        Assert.All(doubled.ToArray<float>(), x => Assert.Equal(-2, x));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_envoys/TestStringKeys.test_string_key_with_rename_alias")]
    public async Task AViewOfARenamedModule_IsTheSame(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode, new() { ["attn"] = "attention" });
        using Trace t = llm.Trace(Paris);
        Saved byAlias = llm.Layers[0]["attention"].OutputHeads.Value.Save(), byName = llm.Layers[0]["attn"].OutputHeads.Value.Save();
        await t.RunAsync(Cancel);
        Same(byName, byAlias);
    }
}
