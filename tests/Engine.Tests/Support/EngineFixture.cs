using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Tests.Support;

/// <summary>
/// A tiny model with random weights, for the client and for the engine. Every run is checked for tensors that it left behind.
/// </summary>
internal sealed class EngineFixture : IDisposable
{
    private readonly TempFolder _folder = new();

    private EngineFixture(string config, long seed, string? generationConfig = null)
    {
        TinyModel.Write(_folder, config, seed);
        if (generationConfig is not null) _folder.Write("generation_config.json", generationConfig);
        Model = new LanguageModel(_folder.Path, remote: Backend.Local);
        Sequence = new SequenceModel(_folder.Path, remote: Backend.Local);
        HookedModel = new HookedLanguageModel(TinyModel.Load(_folder.Path)) { OnWarning = Warnings.Add };
    }

    private EngineFixture(string path)
    {
        Model = new LanguageModel(path, remote: Backend.Local);
        Sequence = new SequenceModel(path, remote: Backend.Local);
        HookedModel = new HookedLanguageModel(TinyModel.Load(path));
    }

    /// <summary>The client's model, if it generates.</summary>
    public LanguageModel Model { get; }

    /// <summary>The client's model, if it does not generate.</summary>
    public SequenceModel Sequence { get; }

    /// <summary>The client's model, whatever its task.</summary>
    public TransformersModel Any => HookedModel.Root.Task.Generates() ? Model : Sequence;

    /// <summary>The logits, or the hidden states of a model without a head.</summary>
    public Value Output => Any.Output[HookedModel.Root.Task is ModelTask.FeatureExtraction ? "last_hidden_state" : "logits"];

    public HookedLanguageModel HookedModel { get; }

    /// <summary>The warnings of the model.</summary>
    public List<string> Warnings { get; } = [];

    public static EngineFixture GPT2(long seed = 1, int heads = 2, int layers = 2, int hiddenSize = 16) =>
        new(TinyModel.GPT2(heads, layers, hiddenSize), seed);

    public static EngineFixture Llama(long seed = 1, int heads = 4, int kvHeads = 2, int layers = 2) =>
        new(TinyModel.Llama(heads, kvHeads, layers), seed);

    public static EngineFixture Of(string config, long seed = 1) => new(config, seed);

    /// <summary>An existing checkpoint.</summary>
    public static EngineFixture Open(string path) => new(path);

    /// <summary>A model with this generation_config.json.</summary>
    public static EngineFixture WithDefaults(string generationConfig, string? config = null) =>
        new(config ?? TinyModel.GPT2(), 1, generationConfig);

    /// <summary>The folder of the model.</summary>
    public string Path => _folder.Path;

    /// <summary>Records a trace of a forward pass.</summary>
    public Program Record(object? prompt, Action<Trace> experiment) => RecordIn(Any.Trace(prompt), experiment);

    /// <summary>Records a trace of a generation.</summary>
    public Program Record(object? prompt, int newTokens, Action<Trace> experiment) =>
        RecordIn(Model.Generate(prompt, newTokens), experiment);

    /// <summary>Records into an open trace of the model.</summary>
    public Program RecordIn(Trace trace, Action<Trace> experiment)
    {
        using (trace)
        {
            experiment(trace);
            return trace.ToProgram();
        }
    }

    /// <summary>Records a trace of a forward pass and runs it alone.</summary>
    public JobOutcome Run(object? prompt, Action<Trace> experiment) => Run(Record(prompt, experiment))[0];

    /// <summary>Records a trace of a generation and runs it alone.</summary>
    public JobOutcome Run(object? prompt, int newTokens, Action<Trace> experiment) => Run(Record(prompt, newTokens, experiment))[0];

    /// <summary>Runs several jobs together.</summary>
    public JobOutcome[] Run(params Program[] programs) => Run([.. programs.Select(p => (p, new JobOutcome(), CancellationToken.None))]);

    public JobOutcome[] Run(params (Program Program, JobOutcome Outcome, CancellationToken Cancellation)[] jobs) => Run(HookedModel, jobs);

    public static JobOutcome[] Run(HookedModel model, params (Program Program, JobOutcome Outcome, CancellationToken Cancellation)[] jobs)
    {
        long before = torch.Tensor.TotalCount;
        JobRun[] runs = [.. jobs.Select(j => new JobRun(Compiler.Compile(j.Program, model), j.Outcome, cancellationToken: j.Cancellation))];
        ProgramEngine.Run(model, runs);
        for (int i = 0; i < runs.Length; i++)
        {
            (jobs[i].Outcome.Error, jobs[i].Outcome.Tokens) = (runs[i].Error, runs[i].TokenCount);
            runs[i].Dispose();
        }
        // fewer if the finalizer has freed tensors of an earlier test
        Assert.InRange(torch.Tensor.TotalCount, 0, before);
        return [.. jobs.Select(j => j.Outcome)];
    }

    public void Dispose()
    {
        HookedModel.Dispose();
        _folder.Dispose();
    }
}
