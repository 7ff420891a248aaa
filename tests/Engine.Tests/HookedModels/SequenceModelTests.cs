using System.Text;
using Ndif.Engine.Tests.Support;
using Ndif.Models;
using Ndif.Models.Architectures;
using Ndif.Models.Config;
using Ndif.Models.Files;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Tests.HookedModels;

/// <summary>Models that generate no text: base models, classifiers, masked language models.</summary>
public sealed class SequenceModelTests
{
    private static readonly int[] _prompt = [5, 6, 7, 8], _longer = [9, 3, 4, 11, 12, 13, 2];
    private static readonly int[][] _two = [[5, 6, 7], [8, 9, 2]];

    private static readonly Dictionary<string, string> _configs = new()
    {
        ["gpt2 base"] = Rename(TinyModel.GPT2(), "GPT2LMHeadModel", "GPT2Model"),
        ["gpt2 classifier"] = Rename(TinyModel.GPT2(more: """, "num_labels": 3, "pad_token_id": 0 """), "GPT2LMHeadModel", "GPT2ForSequenceClassification"),
        ["gpt2 tokens"] = Rename(TinyModel.GPT2(), "GPT2LMHeadModel", "GPT2ForTokenClassification"),
        ["llama base"] = Rename(TinyModel.Llama(), "LlamaForCausalLM", "LlamaModel"),
        ["llama reward"] = Rename(TinyModel.Llama(more: """, "num_labels": 1, "pad_token_id": 0 """), "LlamaForCausalLM",
            "LlamaForSequenceClassification"),
        ["opt base"] = Rename(TinyConfigs.Of("opt", 1), "OPTForCausalLM", "OPTModel"),
        ["mamba classifier"] = Rename(TinyConfigs.Of("mamba", 1), "MambaForCausalLM", "MambaForSequenceClassification"),
        ["mixtral classifier"] = Rename(TinyConfigs.Of("Mixtral", 2), "MixtralForCausalLM", "MixtralForSequenceClassification"),
    };

    public static TheoryData<string> Names => [.. _configs.Keys, .. TinyConfigs.Names.Where(IsEncoder)];

    private static bool IsEncoder(string name) =>
        !ArchitectureCatalog.Build(ConfigReader.Parse(Encoding.UTF8.GetBytes(TinyConfigs.Of(name, 2)), name)).Task.Generates();

    private static string Rename(string config, string from, string to) => config.Replace(from, to, StringComparison.Ordinal);

    private static EngineFixture New(string name) => EngineFixture.Of(_configs.GetValueOrDefault(name) ?? TinyConfigs.Of(name, 2));

    [Theory]
    [MemberData(nameof(Names))]
    public void EveryModule_Batched_GivesWhatItGivesAlone(string name)
    {
        using EngineFixture fixture = New(name);
        Program other = fixture.Record(_longer, _ => fixture.Output.Save("output"));
        int compared = 0;
        foreach (SiteModule module in fixture.HookedModel.Root.Modules.Where(m => !m.IsList && m.Path.Length > 0))
        {
            Program Read() => fixture.Record(_two, _ =>
            {
                Envoy site = fixture.Any[module.Path];
                site.Output.Save("value");
                fixture.Output.Save("output");
            });
            JobOutcome alone = fixture.Run(Read())[0];
            if (alone.Error is { Code: ErrorCode.MissedValue }) continue; // it is never called
            JobOutcome both = fixture.Run(other, Read())[1].AssertCompleted();
            OutcomeAssert.Same(alone.AssertCompleted(), both, module.Path);
            compared++;
        }
        Assert.True(compared > 10);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void BatchedEdits_DoWhatTheyDoAlone_AndNothingToOthers(string name)
    {
        using EngineFixture fixture = New(name);
        Program Edited() => fixture.Record(_two, _ =>
        {
            fixture.Any.Embed.Output[0, ^1] = fixture.Any.Embed.Output[0, 0] * 2;
            fixture.Any.Layers[0].Hidden[1] *= 0.5;
            fixture.Output.Save("output");
        });
        Program other = fixture.Record(_longer, _ => fixture.Output.Save("output"));
        JobOutcome alone = fixture.Run(Edited())[0].AssertCompleted(), otherAlone = fixture.Run(other)[0].AssertCompleted();
        JobOutcome plain = fixture.Run(_two, _ => fixture.Output.Save("output")).AssertCompleted();
        JobOutcome[] both = fixture.Run(other, Edited());
        TensorAssert.Equal(otherAlone.Tensor("output"), both[0].AssertCompleted().Tensor("output"));
        TensorAssert.Equal(alone.Tensor("output"), both[1].AssertCompleted().Tensor("output"));
        Assert.True(TensorAssert.Difference(plain.Tensor("output"), alone.Tensor("output")) > 1e-4);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void AShorterRowOfAnInvoke_GivesWhatItGivesAlone(string name)
    {
        using EngineFixture fixture = New(name);
        TensorData both = fixture.Run(new[] { _longer, _prompt }, _ => fixture.Output.Save("output")).AssertCompleted().Tensor("output"),
            alone = fixture.Run(_prompt, _ => fixture.Output.Save("output")).AssertCompleted().Tensor("output");
        TensorData row = fixture.Sequence.ModelTask is ModelTask.SequenceClassification ? both[1..2] // [1, labels]
            : fixture.HookedModel.Root.PadsRight ? both[1..2, .._prompt.Length] : both[1..2, ^_prompt.Length..];
        TensorAssert.Equal(alone, row);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task OutputAndScan_HaveTheShapeOfTheTask(string name)
    {
        using EngineFixture fixture = New(name);
        long[] shape = [.. fixture.Run(_two, _ => fixture.Output.Save("output")).AssertCompleted().Tensor("output").Shape];
        int labels = fixture.Sequence.Labels.Count;
        Assert.Equal(fixture.Sequence.ModelTask switch
        {
            ModelTask.SequenceClassification => [2, labels],
            ModelTask.TokenClassification when labels > 0 => [2, 3, labels],
            _ => shape,
        }, shape);
        using Trace scan = fixture.Sequence.Scan(_two);
        Saved seen = fixture.Output.Shape.Save();
        await scan.RunAsync(TestContext.Current.CancellationToken);
        Assert.Equal($"[{string.Join(", ", shape)}]", $"{seen}");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Gradients_FlowFromTheHeadToTheEmbedding(string name)
    {
        using EngineFixture fixture = New(name);
        using Trace trace = fixture.Any.Trace(_two, grad: true);
        Value embedded = fixture.Any.Embed.Output;
        trace.Backward(fixture.Output.Square().Sum(), () => embedded.Grad.Save("gradient"));
        TensorData gradient = fixture.Run(trace.ToProgram())[0].AssertCompleted().Tensor("gradient");
        Assert.Contains(gradient.ToArray<float>(), g => Math.Abs(g) > 1e-6);
    }

    [Fact]
    public void AGeneration_IsRefused()
    {
        using EngineFixture fixture = New("llama reward");
        Program program = fixture.Record(_prompt, _ => fixture.Output.Save("output"));
        program.Nodes.First(node => node.Trace is not null).Trace.Mode = Mode.Generate;
        NdifException refused = Assert.ThrowsAny<NdifException>(() => fixture.Run(program));
        Assert.Equal(ErrorCode.Unsupported, refused.Code);
        Assert.Contains("sequence classification", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheOtherClass_SaysWhichOneToUse()
    {
        using EngineFixture reward = New("llama reward"), causal = EngineFixture.GPT2();
        Assert.Contains("new SequenceModel(", Assert.ThrowsAny<NdifException>(() => reward.Model.Layers).Error.Hint,
            StringComparison.Ordinal);
        Assert.Contains("new LanguageModel(", Assert.ThrowsAny<NdifException>(() => causal.Sequence.Layers).Error.Hint,
            StringComparison.Ordinal);
    }

    [Fact]
    public void TokenTypes_OfAModelWithout_AreRefused()
    {
        using EngineFixture fixture = New("gpt2 base");
        JobOutcome outcome = fixture.Run(new TokenInput(TensorData.FromArray([5L, 6L], 1, 2), null, TensorData.FromArray([0L, 1L], 1, 2)),
            _ => fixture.Output.Save("output"));
        outcome.AssertFailed(ErrorCode.BadInput);
    }

    [Theory]
    [InlineData("llama reward")]
    [InlineData("gpt2 classifier")]
    public void ARowOfPadTokens_IsClassifiedByItsFirst_InAnyBatch(string name)
    {
        using EngineFixture fixture = New(name);
        int[] pads = [0, 0, 0];
        TensorData alone = fixture.Run(pads, _ => fixture.Output.Save("output")).AssertCompleted().Tensor("output");
        JobOutcome[] both = fixture.Run(fixture.Record(_longer, _ => fixture.Output.Save("output")),
            fixture.Record(pads, _ => fixture.Output.Save("output")));
        TensorAssert.Equal(alone, both[1].AssertCompleted().Tensor("output"));
    }

    /// <summary>PEFT names the heads of several architectures in modules_to_save.</summary>
    [Fact]
    public async Task AnAdapterWithAHead_IsTheSame_MergedAndAttached()
    {
        using EngineFixture fixture = New("BertForSequenceClassification");
        using TempFolder adapter = new();
        adapter.Write("adapter_config.json", """
            { "peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["query"], "modules_to_save": ["classifier", "score"] }
            """);
        int labels = fixture.Sequence.Labels.Count;
        const string Prefix = "base_model.model.";
        using (torch.NewDisposeScope())
            SafetensorsWriter.Write(adapter.File("adapter_model.safetensors"), new Dictionary<string, torch.Tensor>
            {
                [$"{Prefix}bert.encoder.layer.0.attention.self.query.lora_A.weight"] = torch.randn(2, 16),
                [$"{Prefix}bert.encoder.layer.0.attention.self.query.lora_B.weight"] = torch.randn(16, 2),
                [$"{Prefix}classifier.weight"] = torch.randn(labels, 16), [$"{Prefix}classifier.bias"] = torch.randn(labels),
            });
        TensorData plain = await LogitsAsync(fixture.Sequence), attached = await LogitsAsync(fixture.Sequence.WithAdapter(adapter.Path)),
            merged = await LogitsAsync(new SequenceModel(fixture.Path, remote: Backend.Local, adapter: adapter.Path));
        TensorAssert.Equal(merged, attached);
        Assert.True(TensorAssert.Difference(plain, merged) > 1e-2);

        static async Task<TensorData> LogitsAsync(SequenceModel model) =>
            (await model.TraceAsync(_prompt, t => model.Logits.Save(), cancellationToken: TestContext.Current.CancellationToken)).Tensor;
    }

    [Fact]
    public void AMaskOfFractions_IsRefused()
    {
        using EngineFixture fixture = New("llama base");
        fixture.Run(new TokenInput(TensorData.FromArray([5L, 6L], 1, 2), TensorData.FromArray([1f, 0.5f], 1, 2)),
            _ => fixture.Output.Save("output")).AssertFailed(ErrorCode.BadInput);
    }

    [Fact]
    public void APadTokenAtTheEnd_IsNotTheLastTokenOfAClassifier()
    {
        using EngineFixture fixture = New("llama reward");
        TensorData plain = Score([5, 6, 7]), padded = Score([5, 6, 7, 0, 0]), other = Score([5, 6, 7, 8]);
        TensorAssert.Equal(plain, padded);
        Assert.True(TensorAssert.Difference(plain, other) > 1e-4);

        TensorData Score(int[] ids) => fixture.Run(ids, _ => fixture.Output.Save("output")).AssertCompleted().Tensor("output");
    }
}
