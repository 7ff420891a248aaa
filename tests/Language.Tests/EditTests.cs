using Ndif.Engine;
using Ndif.Protocol;


namespace Ndif.Language.Tests;

/// <summary>nnsight's test_lm.py, TestEditing: persistent edits, and edits in files.</summary>
public sealed class EditTests(ServiceFixture service) : LanguageTests(service)
{
    private async Task<string> NextAsync(LanguageModel llm, string prompt) => Next(llm, await LogitsAsync(llm, prompt));

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestEditing.test_non_inplace_editing", "v0.4/test_lm/test_non_inplace_editing", "v0.4/test_lm/test_editing")]
    public async Task AnEditedModel_IsAnother_WithTheEditsOfTheOneItComesFrom(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        Saved paris = await llm.TraceAsync(Paris, _ => llm.Layers[^1].Hidden[.., ^1, ..].Save(), cancellationToken: Cancel);
        LanguageModel edited = llm.Edit(() => llm.Layers[^1].Hidden[.., ^1, ..] = paris.Tensor);
        LanguageModel more = edited.Edit(() => edited.LmHead.Output = edited.LmHead.Output * -1);
        Assert.Equal(" Rome", await NextAsync(llm, Rome));
        Assert.Equal(" Paris", await NextAsync(edited, Rome));
        Near((await LogitsAsync(edited, Rome)).Tensor * -1, await LogitsAsync(more, Rome));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestEditing.test_clear_edits", "v0.4/test_lm/test_clear_edits")]
    public async Task EditsInPlace_AreTakenBack(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        llm.Edit(() => llm.Layers[^1].Hidden[..] = 0, inPlace: true);
        Assert.NotEqual(" Rome", await NextAsync(llm, Rome));
        llm.ClearEdits();
        Assert.Equal(" Rome", await NextAsync(llm, Rome));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestEditing.test_batched_editing", "v0.4/test_lm/test_batched_editing")]
    public async Task AnEdit_IsMadeOnEachPrompt_OfABatch(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        LanguageModel edited = llm.Edit(() => llm.Layers[1].Hidden[.., ^1] = 0);
        using Trace t = edited.Trace();
        Saved pair, one;
        using (t.Invoke(new[] { Paris, Rome })) pair = llm.Layers[1].Hidden[.., ^1].Save();
        using (t.Invoke("Hello")) one = llm.Layers[1].Hidden[.., ^1].Save();
        await t.RunAsync(Cancel);
        Assert.Equal(2, pair.Tensor.Shape[0]);
        Zero(pair);
        Zero(one);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task Edits_AreAFile_AndTheSameInAnotherModelObject(ExecutionMode mode)
    {
        string file = Path.GetTempFileName();
        try
        {
            LanguageModel llm = Model(mode);
            Saved paris = await llm.TraceAsync(Paris, _ => llm.Layers[^1].Hidden[.., ^1, ..].Save(), cancellationToken: Cancel);
            LanguageModel edited = llm.Edit(() => llm.Layers[^1].Hidden[.., ^1, ..] = paris.Tensor)
                .Edit(() => Doubled(llm)).Edit(() => llm.LmHead.Output = llm.LmHead.Output + TensorData.Full([1], 1));
            edited.ExportEdits(file);
            TensorData expected = await LogitsAsync(edited, Rome);
            LanguageModel imported = Model(mode), constructed = new(ServiceFixture.Model, remote: Backend(mode), edits: file);
            imported.ImportEdits(file);
            Same(expected, await LogitsAsync(imported, Rome));
            Same(expected, await LogitsAsync(constructed, Rome));
            Same(expected, await LogitsAsync(constructed.Edit(() => _ = llm.LmHead.Output * 2), Rome));
            imported.ClearEdits();
            Assert.Equal(" Rome", await NextAsync(imported, Rome));
        }
        finally
        {
            File.Delete(file);
        }

        static void Doubled(LanguageModel llm)
        {
            Value logits = llm.LmHead.Output;
            llm.LmHead.Output = Op.Where(logits > 0, logits * 2, logits);
        }
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task AnErrorInAnImportedEdit_NamesTheLineWhereItWasWritten(ExecutionMode mode)
    {
        string file = Path.GetTempFileName();
        try
        {
            LanguageModel llm = Model(mode);
            llm.Edit(() => llm.Layers[0].Hidden[.., 99] = 0).ExportEdits(file);
            var other = new LanguageModel(ServiceFixture.Model, remote: Backend(mode), edits: file);
            var thrown = await Assert.ThrowsAsync<IndexOutOfRangeException>(() => LogitsAsync(other, Rome));
            Assert.Contains("EditTests.cs:", thrown.Message, StringComparison.Ordinal);
            Assert.Contains(nameof(AnErrorInAnImportedEdit_NamesTheLineWhereItWasWritten), thrown.Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Theory, MemberData(nameof(Modes))]
    public void AFileThatIsNone_OrIsDamaged_OrAnotherModels_IsRefused(ExecutionMode mode)
    {
        string file = Path.GetTempFileName();
        try
        {
            LanguageModel llm = Model(mode);
            llm.Edit(() => llm.Layers[0].Hidden[..] = 0).ExportEdits(file);
            byte[] good = File.ReadAllBytes(file);
            for (int cut = 0; cut < good.Length; cut += 7)
            {
                File.WriteAllBytes(file, good[..cut]);
                Assert.Equal(ErrorCode.CorruptData, Assert.Throws<NdifException>(() => llm.ImportEdits(file)).Code);
            }
            for (int at = 0; at < good.Length; at += 5)
            {
                byte[] bad = [.. good];
                bad[at] ^= 0x40;
                File.WriteAllBytes(file, bad);
                Assert.Equal(ErrorCode.CorruptData, Assert.Throws<NdifException>(() => llm.ImportEdits(file)).Code);
            }
            File.WriteAllText(file, "{}");
            Assert.Contains("is no file of edits", Assert.Throws<NdifException>(() => llm.ImportEdits(file)).Message,
                StringComparison.Ordinal);
            Assert.Throws<FileNotFoundException>(() => llm.ImportEdits(file + ".not"));
            var constructed = new LanguageModel(ServiceFixture.Model, remote: Backend(mode), edits: file);
            // every access fails, not only the first
            foreach (Action use in (Action[])[() => _ = constructed["lm_head"], () => constructed.Trace(Paris)])
                Assert.Throws<NdifException>(use);

            using TinyNet net = new();
            net.Model.Edit(() => net.Model.Output[..] = 0).ExportEdits(file);
            var other = Assert.Throws<BadProgramException>(() => llm.ImportEdits(file));
            Assert.Equal(ErrorCode.BadArgument, other.Code);
            Assert.Contains("(Sequential, 82 parameters); this model is `ndif/tiny-landmarks`", other.Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Theory, MemberData(nameof(InProcessModes))]
    public async Task TheEditsOfAUsersModule_AreAFileToo(ExecutionMode mode)
    {
        string file = Path.GetTempFileName();
        try
        {
            using TinyNet net = new();
            NNsight edited = net.Model.Edit(() =>
            {
                Value output = net.Layer1.Output;
                net.Layer1.Output = Op.Where(output > 0, output, -1 * output) + TensorData.Ones([10]);
            });
            edited.ExportEdits(file);
            NNsight other = net.Wrap();
            other.ImportEdits(file);
            List<TensorData> outputs = [];
            foreach (NNsight model in (NNsight[])[edited, other])
            {
                using Trace t = net.Trace(model, mode);
                Saved output = model["layer2"].Input.Save();
                await t.RunAsync(Cancel);
                outputs.Add(output);
            }
            Same(outputs[0], outputs[1]);
            Assert.All(outputs[0].ToArray<float>(), x => Assert.True(x >= 1));
        }
        finally
        {
            File.Delete(file);
        }
    }

    /// <summary>Rows that have ended stay in the pass, where an invoke without a prompt sees them.</summary>
    [Theory, MemberData(nameof(Modes))]
    public async Task AnEdit_HoldsForRowsThatHaveEnded_AndWhatItSavesIsOfTheRowsOwnSteps(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode), edited = llm.Edit(() => llm.Layers[0].Mlp.Output[..] = 0);
        List<Saved> outputs = [], saves = [];
        using Trace t = edited.Generate(options: new() { IgnoreEos = true });
        using (t.Invoke(Rome, new GenerationOptions { MaxNewTokens = 2 })) { }
        using (t.Invoke(Paris, new GenerationOptions { MaxNewTokens = 5 })) { }
        using (t.Invoke())
            foreach (int _ in t.Iter[0..5]) outputs.Add(llm.Layers[0].Mlp.Output[.., ^1].Save());
        await t.RunAsync(Cancel);
        Assert.All(outputs, output => Assert.Equal(2, output.Tensor.Shape[0]));
        Assert.All(outputs, output => Zero(output));

        LanguageModel observed = llm.Edit(() => saves.Add(llm.Layers[0].Mlp.Output.Save()));
        using Trace alone = observed.Generate(Rome, maxNewTokens: 2, new() { IgnoreEos = true });
        await alone.RunAsync(Cancel);
        using Trace beside = observed.Generate(options: new() { IgnoreEos = true });
        using (beside.Invoke(Rome, new GenerationOptions { MaxNewTokens = 2 })) { }
        using (beside.Invoke(Paris, new GenerationOptions { MaxNewTokens = 5 })) { }
        await beside.RunAsync(Cancel);
        Near(saves[0], saves[1]);
    }
}
