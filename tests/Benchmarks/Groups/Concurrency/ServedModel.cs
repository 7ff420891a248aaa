using Ndif.Benchmarks.Fixtures;
using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Scheduling;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>A model that several users share, run by the engine on the calling thread.</summary>
internal sealed class ServedModel : IDisposable
{
    private readonly LoadedModel _model;

    private ServedModel(string shape, ScalarType type)
    {
        Name = $"{shape} {(type == ScalarType.Float32 ? "fp32" : "bf16")}";
        (IsLlama, IsFloat32) = (shape == "llama-135m", type == ScalarType.Float32);
        string folder = IsLlama ? LlamaCheckpoint.Folder() : GPT2Checkpoint.Small.Folder();
        _model = ModelLoader.Load(folder, type);
        HookedModel = new HookedLanguageModel(_model);
        Client = new LanguageModel(folder);
    }

    public static ServedModel GPT2() => new("gpt2-small", ScalarType.Float32);

    public static ServedModel Llama(ScalarType type = ScalarType.Float32) => new("llama-135m", type);

    /// <summary>For example "gpt2-small fp32".</summary>
    public string Name { get; }

    public bool IsLlama { get; }

    public bool IsFloat32 { get; }

    public HookedLanguageModel HookedModel { get; }

    /// <summary>Records programs.</summary>
    public LanguageModel Client { get; }

    public int NumLayers => IsLlama ? LlamaCheckpoint.NumLayers : GPT2Checkpoint.Small.NumLayers;

    public int HiddenSize => IsLlama ? LlamaCheckpoint.HiddenSize : GPT2Checkpoint.Small.HiddenSize;

    public int NumHeads => IsLlama ? LlamaCheckpoint.NumHeads : GPT2Checkpoint.Small.NumHeads;

    /// <summary>The same weights in plain TorchSharp.</summary>
    public IPlainLanguageModel ToPlain() => IsLlama ? new PlainLlama(_model) : new PlainGPT2(_model, GPT2Checkpoint.Small);

    public Plan Compile(Protocol.Program program) => Compiler.Compile(program, HookedModel);

    /// <summary>Token ids of a prompt.</summary>
    public int[] Prompt(int tokens, Random random)
    {
        int vocabSize = IsLlama ? LlamaCheckpoint.VocabSize : GPT2Checkpoint.Small.VocabSize;
        return [.. Enumerable.Range(0, tokens).Select(_ => random.Next(vocabSize))];
    }

    /// <summary>A trace of one pass that saves what the model says next.</summary>
    public Plan CompileTrace(int[] prompt)
    {
        using Trace trace = Client.Trace(prompt);
        Client.Logits[.., ^1].Save();
        return Compile(trace.ToProgram());
    }

    /// <summary>A generation without interventions, which tells of each token.</summary>
    public Plan CompileGeneration(int[] prompt, int newTokens)
    {
        using Trace trace = Client.Generate(prompt, newTokens, new() { IgnoreEos = true, Stream = true });
        trace.Result.Save();
        return Compile(trace.ToProgram());
    }

    /// <summary>Runs programs together to their end, with a scheduler of their own.</summary>
    /// <returns>The jobs that have run, and when they were added.</returns>
    public (TimedJob[] Jobs, ClockReading Start) Run(params Plan[] plans)
    {
        TimedJob[] jobs = [.. plans.Select(plan => new TimedJob(plan))];
        using var scheduler = new ModelScheduler(HookedModel);
        ClockReading start = ClockReading.Now;
        foreach (TimedJob job in jobs) job.AddTo(scheduler);
        while (scheduler.JobCount > 0) scheduler.Step();
        foreach (TimedJob job in jobs) job.Dispose();
        return (jobs, start);
    }

    public void Dispose() => HookedModel.Dispose();
}
