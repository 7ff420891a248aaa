using Ndif.Models.Files;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Language.Tests;

/// <summary>LoRA adapters that an experiment attaches, without a change of the loaded model.</summary>
public sealed class AdapterTests(ServiceFixture service) : LanguageTests(service)
{
    private static readonly Lazy<string> _adapter = new(() =>
    {
        LanguageModel llm = new(ServiceFixture.Model);
        return Write(layer =>
            new[] { "attn.c_attn", "attn.c_proj", "mlp.c_fc",
                "mlp.c_proj" }.Select(module => (module, Shape(llm, $"transformer.h.{layer}.{module}"))));
    });

    private static string Adapter => _adapter.Value;

    /// <summary>Loads the model with the merged adapter before the tensors are counted, because it stays loaded.</summary>
    public override async ValueTask InitializeAsync()
    {
        await LogitsAsync(new LanguageModel(ServiceFixture.Model, adapter: Adapter), Rome);
        await base.InitializeAsync();
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task AnAttachedAdapter_GivesWhatTheMergedOneGives(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode), tuned = llm.WithAdapter(Adapter), merged = new(ServiceFixture.Model, adapter: Adapter);
        Saved expected = await LogitsAsync(merged, Rome), plain = await LogitsAsync(llm, Rome);
        Near(expected, await LogitsAsync(tuned, Rome));
        Assert.True(plain.Tensor.MaxAbsDifference(expected) > 0.1);
        Near(plain, await LogitsAsync(llm, Rome), 0); // the model itself is unchanged
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task AnAttachedAdapter_IsThereInEveryStepOfAGeneration(ExecutionMode mode)
    {
        LanguageModel tuned = Model(mode).WithAdapter(Adapter), merged = new(ServiceFixture.Model, adapter: Adapter);
        async Task<TensorData> TokensAsync(LanguageModel llm)
        {
            using Trace t = llm.Generate(new[] { Paris, "Hello" }, maxNewTokens: 8, new() { IgnoreEos = true });
            Saved tokens = t.Result.Save();
            await t.RunAsync(Cancel);
            return tokens;
        }
        Same(await TokensAsync(merged), await TokensAsync(tuned));
        Assert.False((await TokensAsync(new LanguageModel(ServiceFixture.Model))).SameAs(await TokensAsync(tuned)));
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task SitesSeeWhatTheAdapterDoes_AndAnExperimentGoesOnBesideIt(ExecutionMode mode)
    {
        LanguageModel tuned = Model(mode).WithAdapter(Adapter), merged = new(ServiceFixture.Model, adapter: Adapter);
        async Task<(TensorData Inner, TensorData Logits)> RunAsync(LanguageModel llm)
        {
            using Trace t = llm.Trace(Paris);
            Saved inner = llm.Get("transformer.h.1.mlp.c_fc").Output.Save();
            llm.Layers[1].Hidden[.., 0] = 0;
            Saved logits = llm.Logits.Save();
            await t.RunAsync(Cancel);
            return (inner, logits);
        }
        var (expected, actual) = (await RunAsync(merged), await RunAsync(tuned));
        Near(expected.Inner, actual.Inner);
        Near(expected.Logits, actual.Logits);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task AnAdapterOfTheEmbedding_AddsItsRows(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        (long width, long entries) = Shape(llm, "transformer.wte");
        TensorData plain = await llm.TraceAsync(Rome, _ => llm.Embed.Output.Save(), cancellationToken: Cancel);
        LanguageModel tuned = llm.WithAdapter(Write(layer => layer == 0 ? [("wte", (width, entries))] : [], "lora_embedding"));
        TensorData actual = await tuned.TraceAsync(Rome, _ => llm.Embed.Output.Save(), cancellationToken: Cancel);
        using torch.Generator generator = new(7);
        using var scope = torch.NewDisposeScope();
        torch.Tensor a = torch.randn([4, entries], generator: generator) * 0.1, b = torch.randn([width, 4], generator: generator) * 0.1;
        torch.Tensor ids = torch.tensor([.. llm.Tokenizer.Encode(Rome).Select(id => (long)id)]);
        float[] added = (a.index_select(1, ids).t().mm(b.t()) * 2).data<float>().ToArray();                  // [seq, hidden]
        Assert.Equal(plain.ToArray<float>().Zip(added, (x, y) => x + y), actual.ToArray<float>(), (x, y) => Math.Abs(x - y) < 1e-5);
    }

    [Fact]
    public void AnAdapterOfAnotherModel_IsRefused()
    {
        LanguageModel llm = new(ServiceFixture.Model);
        NdifException shape =
            Assert.ThrowsAny<NdifException>(() => llm.WithAdapter(Write(layer => layer == 0 ? [("mlp.c_fc", (7, 5))] : [])));
        Assert.Equal(ErrorCode.BadCheckpoint, shape.Code);
        Assert.Contains("`transformer.h.0.mlp.c_fc`", shape.Message, StringComparison.Ordinal);
        NdifException module =
            Assert.ThrowsAny<NdifException>(() => llm.WithAdapter(Write(layer => layer == 0 ? [("self_attn.q_proj", (8, 8))] : [])));
        Assert.Contains("has no such module", module.Message, StringComparison.Ordinal);
        Assert.Contains("not an adapter", Assert.ThrowsAny<NdifException>(() => llm.WithAdapter(Path.GetTempPath())).Message,
            StringComparison.Ordinal);
    }

    private static (long Outputs, long Inputs) Shape(LanguageModel llm, string module)
    {
        var weight = llm.Description.Root.Find(module)!.Parameters.First(p => p.Name == "weight").Shape;
        return (weight[1], weight[0]);
    }

    /// <summary>Writes an adapter in the format of PEFT's save_pretrained.</summary>
    private static string Write(Func<int, IEnumerable<(string Module, (long Outputs, long Inputs) Shape)>> modules, string kind = "lora")
    {
        string folder = Directory.CreateTempSubdirectory("adapter").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
        File.WriteAllText(Path.Combine(folder, "adapter_config.json"),
            """{ "peft_type": "LORA", "r": 4, "lora_alpha": 8 }""");
        using var scope = torch.NewDisposeScope();
        using torch.Generator generator = new(7);
        Dictionary<string, torch.Tensor> tensors = [];
        foreach (int layer in Enumerable.Range(0, 2))
            foreach (var (module, (outputs, inputs)) in modules(layer))
            {
                tensors[Name(module, layer, "A")] = torch.randn([4, inputs], generator: generator) * 0.1;
                tensors[Name(module, layer, "B")] = torch.randn([outputs, 4], generator: generator) * 0.1;
            }
        SafetensorsWriter.Write(Path.Combine(folder, "adapter_model.safetensors"), tensors);
        return folder;

        string Name(string module, int layer, string half) =>
            kind == "lora" ? $"base_model.model.transformer.h.{layer}.{module}.lora_{half}.weight"
            : $"base_model.model.transformer.{module}.lora_embedding_{half}";
    }
}
