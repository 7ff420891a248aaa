using Ndif.Models.Files;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Language.Tests;

/// <summary>
/// An attached adapter where modules are called, skipped, or started at: as where the adapter is merged into the weights.
/// </summary>
public sealed class AdapterCallTests(ServiceFixture service) : LanguageTests(service)
{
    private const string Fc = "transformer.h.1.mlp.c_fc", Attn = "transformer.h.1.attn.c_attn", Norm = "transformer.ln_f";

    private static readonly Lazy<string> _adapter = new(Write);

    private static string Adapter => _adapter.Value;

    /// <summary>Loads the model with the merged adapter before the tensors are counted, because it stays loaded.</summary>
    public override async ValueTask InitializeAsync()
    {
        await LogitsAsync(Merged(), Rome);
        await base.InitializeAsync();
    }

    private static LanguageModel Merged() => new(ServiceFixture.Model, adapter: Adapter);

    [Theory, MemberData(nameof(Modes))]
    public async Task ACallOfAnAdaptedModule_HasTheAdapter(ExecutionMode mode)
    {
        await CheckAsync(mode, (llm, _) =>
        [
            llm.Embed.Call(llm.Embed.Input).Save(), llm[Fc].Call(llm.Layers[1].Hidden).Save(),
            llm.LmHead.Call(llm.FinalNorm.Call(llm.Layers[^1].Hidden)).Save(),
        ]);
        LanguageModel tuned = Model(mode).WithAdapter(Adapter);
        using Trace t = tuned.Trace(Rome);
        Saved lens = tuned.LmHead.Call(tuned.FinalNorm.Call(tuned.Layers[^1].Hidden)).Save(), logits = tuned.Logits.Save();
        await t.RunAsync(Cancel);
        Near(logits, lens);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task ACallOfAModuleWithAdaptedModulesInside_HasTheAdapter(ExecutionMode mode) =>
        await CheckAsync(mode, (llm, _) =>
        [
            llm.Layers[1].Mlp.Call(llm.Layers[0].Hidden).Save(),
            llm.Layers[0].Mlp.Call(llm.Layers[1].Mlp.Call(llm.Layers[1].Hidden)).Save(),
        ]);

    [Theory, MemberData(nameof(Modes))]
    public async Task ACallInEveryStep_HasTheAdapter(ExecutionMode mode) =>
        await CheckAsync(mode, (llm, t) =>
        {
            List<Saved> lens = [];
            foreach (int _ in t.Iter[0..3]) lens.Add(llm.LmHead.Call(llm.FinalNorm.Call(llm.Layers[0].Hidden))[.., ^1].Save());
            return [.. lens];
        }, (llm, prompt) => llm.Generate(prompt, maxNewTokens: 3, new() { IgnoreEos = true }));

    [Theory, MemberData(nameof(Modes))]
    public async Task ACallInAnInvokeOrBetweenTraces_HasTheAdapter(ExecutionMode mode)
    {
        async Task<Saved[]> RunAsync(LanguageModel llm)
        {
            using Session session = llm.Session();
            Saved hidden, between, inside, empty;
            using (Trace t = llm.Trace())
            {
                using (t.Invoke(Rome))
                {
                    hidden = llm.Layers[0].Hidden.Save();
                    inside = llm.LmHead.Call(hidden).Save();
                }
                using (t.Invoke(Paris)) { }
                using (t.Invoke()) empty = llm.LmHead.Call(llm.Layers[0].Hidden[.., ^1]).Save();
            }
            between = llm.LmHead.Call(llm.Layers[1].Mlp.Call(hidden)).Save();
            await session.RunAsync(Cancel);
            return [inside, between, empty];
        }
        Saved[] expected = await RunAsync(Merged()), actual = await RunAsync(Model(mode).WithAdapter(Adapter));
        foreach (var (e, a) in expected.Zip(actual)) Near(e, a);
    }

    /// <summary>As for the sites of a model, the trace decides whose adapter a module of the base model has.</summary>
    [Theory, MemberData(nameof(Modes))]
    public async Task TheBaseModelsModules_HaveTheAdapterOfTheTrace_AndTheTunedModelsTheirOwn(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode), tuned = llm.WithAdapter(Adapter);
        async Task<(Saved, Saved)> RunAsync(LanguageModel traced)
        {
            using Trace t = traced.Trace(Rome);
            Value hidden = traced.Layers[0].Hidden.Clone() * 0 + 1;
            (Saved, Saved) calls = (llm.LmHead.Call(hidden).Save(), tuned.LmHead.Call(hidden).Save());
            await t.RunAsync(Cancel);
            return calls;
        }
        var (plainInPlain, tunedInPlain) = await RunAsync(llm);
        var (plainInTuned, tunedInTuned) = await RunAsync(tuned);
        Same(tunedInTuned, plainInTuned);
        Same(tunedInTuned, tunedInPlain);
        Assert.True(plainInPlain.Tensor.MaxAbsDifference(tunedInTuned) > 0.1);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task AnAdapterOfAFileOfEdits_IsInCallsToo(ExecutionMode mode)
    {
        string file = Path.GetTempFileName();
        try
        {
            LanguageModel tuned = Model(mode).WithAdapter(Adapter);
            tuned.Edit(() => tuned.Layers[0].Mlp.Output += tuned.Layers[1].Mlp.Call(tuned.Layers[0].Mlp.Output)).ExportEdits(file);
            LanguageModel imported = new(ServiceFixture.Model, remote: Backend(mode), edits: file), merged = Merged();
            LanguageModel expected = merged.Edit(
                () => merged.Layers[0].Mlp.Output += merged.Layers[1].Mlp.Call(merged.Layers[0].Mlp.Output));
            async Task<(Saved Logits, Saved Call)> RunAsync(LanguageModel llm)
            {
                using Trace t = llm.Trace(Rome);
                Saved call = llm.LmHead.Call(llm.Layers[0].Hidden).Save(), logits = llm.Logits.Save();
                await t.RunAsync(Cancel);
                return (logits, call);
            }
            var (logits, call) = await RunAsync(expected);
            var (actual, actualCall) = await RunAsync(imported);
            Near(logits, actual, 1e-3);
            Near(call, actualCall, 1e-3);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task ACallWithGradients_HasTheAdapter(ExecutionMode mode) =>
        await CheckAsync(mode, (llm, t) =>
        {
            Value hidden = llm.Layers[0].Hidden, loss = llm.LmHead.Call(llm.Layers[1].Mlp.Call(hidden)).Sum();
            Saved gradient = null!;
            t.Backward(loss, () => gradient = hidden.Grad.Save());
            return [gradient];
        }, (llm, prompt) => llm.Trace(prompt, grad: true));

    [Theory, MemberData(nameof(Modes))]
    public async Task ASkippedModule_GivesTheValueAlone(ExecutionMode mode) =>
        await CheckAsync(mode, (llm, _) =>
        {
            Value first = llm.Layers[0].Hidden, normed = llm.Layers[1]["ln_1"].Output;
            llm[Attn].Skip(Op.Cat([normed, normed * 0.5, normed * 2], -1));
            Saved attn = llm[Attn].Output.Save();
            llm[Fc].Skip(Op.Cat([normed, normed, normed, normed], -1));
            Saved fc = llm[Fc].Output.Save();
            llm.FinalNorm.Skip(first * 0.5);
            return [attn, fc, llm.FinalNorm.Output.Save(), llm.Logits.Save()];
        });

    [Theory, MemberData(nameof(Modes))]
    public async Task AModuleThatIsSkippedInOneStep_HasTheAdapterInTheOthers(ExecutionMode mode) =>
        await CheckAsync(mode, (llm, t) =>
        {
            List<Saved> outputs = [];
            foreach (int step in t.Iter[0..4])
            {
                if (step is 0 or 2) llm[Fc].Skip(Op.Cat([llm[Fc].Input, llm[Fc].Input, llm[Fc].Input, llm[Fc].Input], -1));
                outputs.Add(llm[Fc].Output[.., ^1].Save());
            }
            return [.. outputs];
        }, (llm, prompt) => llm.Generate(prompt, maxNewTokens: 4, new() { IgnoreEos = true }));

    [Theory, MemberData(nameof(Modes))]
    public async Task OneInvokeSkips_AndTheOtherHasTheAdapter(ExecutionMode mode)
    {
        async Task<Saved[]> RunAsync(LanguageModel llm)
        {
            using Trace t = llm.Trace();
            Saved one, other;
            using (t.Invoke(Rome))
            {
                Value normed = llm.Layers[1]["ln_1"].Output;
                llm[Attn].Skip(Op.Cat([normed, normed, normed], -1));
                one = llm.Logits.Save();
            }
            using (t.Invoke(Paris)) other = llm.Logits.Save();
            await t.RunAsync(Cancel);
            return [one, other];
        }
        Saved[] expected = await RunAsync(Merged()), actual = await RunAsync(Model(mode).WithAdapter(Adapter));
        foreach (var (e, a) in expected.Zip(actual)) Near(e, a, 1e-3);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task APassThatStartsAtAModule_HasTheAdapterFromThereOn(ExecutionMode mode)
    {
        LanguageModel plain = Model(mode);
        TensorData hidden = await plain.TraceAsync(Rome, _ => plain.Layers[0].Hidden.Save(), cancellationToken: Cancel);
        Func<LanguageModel, Envoy>[] starts = [llm => llm.Layers[1], llm => llm.FinalNorm, llm => llm.LmHead];
        foreach (Func<LanguageModel, Envoy> start in starts)
            await CheckAsync(mode, (llm, t) =>
            {
                t.StartAt(start(llm), hidden);
                return [llm.Logits.Save()];
            });
    }

    [Fact]
    public async Task AnEditOfASkippedModule_ReadsItsInput()
    {
        LanguageModel llm = Model(ExecutionMode.Local), edited = llm.Edit(() => llm.Layers[1].Mlp.Output += llm.Layers[1].Mlp.Input);
        using Trace t = edited.Trace(Rome);
        Saved input = edited.Layers[1].Mlp.Input.Save();
        edited.Layers[1].Mlp.Skip(input * 2);
        Saved output = edited.Layers[1].Mlp.Output.Save();
        await t.RunAsync(Cancel);
        Assert.Equal(input.Tensor.ToArray<float>().Select(x => 3 * x), output.Tensor.ToArray<float>(), (x, y) => Math.Abs(x - y) < 1e-5);
    }

    /// <summary>Compares an experiment on the model with the merged adapter and on that with the attached one.</summary>
    private async Task CheckAsync(ExecutionMode mode, Func<LanguageModel, Trace, Saved[]> experiment,
        Func<LanguageModel, object, Trace>? open = null)
    {
        open ??= (llm, prompt) => llm.Trace(prompt);
        async Task<Saved[]> RunAsync(LanguageModel llm)
        {
            using Trace t = open(llm, Rome);
            Saved[] saved = experiment(llm, t);
            await t.RunAsync(Cancel);
            return saved;
        }
        Saved[] expected = await RunAsync(Merged()), actual = await RunAsync(Model(mode).WithAdapter(Adapter));
        foreach (var (e, a) in expected.Zip(actual)) Near(e, a, 1e-3);
    }

    /// <summary>Writes an adapter of linear layers, the embedding, the final norm and the head.</summary>
    private static string Write()
    {
        string folder = Directory.CreateTempSubdirectory("adapter").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
        File.WriteAllText(Path.Combine(folder, "adapter_config.json"),
            """{ "peft_type": "LORA", "r": 4, "lora_alpha": 8, "modules_to_save": ["ln_f"] }""");
        ModuleInfo root = new LanguageModel(ServiceFixture.Model).Description.Root;
        using var scope = torch.NewDisposeScope();
        using torch.Generator generator = new(7);
        Dictionary<string, torch.Tensor> tensors = [];
        foreach (string module in (string[])[Attn, Fc, "transformer.h.0.mlp.c_proj", "lm_head"])
        {
            var shape = root.Find(module)!.Parameters.First(p => p.Name == "weight").Shape;
            var (outputs, inputs) = module == "lm_head" ? (shape[0], shape[1]) : (shape[1], shape[0]);
            tensors[$"base_model.model.{module}.lora_A.weight"] = Random(4, inputs);
            tensors[$"base_model.model.{module}.lora_B.weight"] = Random(outputs, 4);
        }
        var (entries, hidden) = root.Find("transformer.wte")!.Parameters[0].Shape is [var rows, var width] ? (rows, width) : default;
        tensors["base_model.model.transformer.wte.lora_embedding_A"] = Random(4, entries);
        tensors["base_model.model.transformer.wte.lora_embedding_B"] = Random(hidden, 4);
        tensors[$"base_model.model.{Norm}.weight"] = Random(hidden) + 1;
        tensors[$"base_model.model.{Norm}.bias"] = Random(hidden);
        SafetensorsWriter.Write(Path.Combine(folder, "adapter_model.safetensors"), tensors);
        return folder;

        torch.Tensor Random(params long[] size) => torch.randn(size, generator: generator) * 0.1;
    }
}
