using Ndif.Engine;
using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;
using Ndif.Protocol;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>
/// A compiled trace of one prompt that saves the logits of all tokens, which need the whole pass, and the hidden states of some layers; run
/// by the engine on the calling thread.
/// </summary>
internal sealed class SavedLayersRun(HookedLanguageModel model, string folder, long[] prompt, int savedLayers = 0)
{
    private readonly Plan _plan = Compiler.Compile(Record(new LanguageModel(folder), prompt, savedLayers), model);

    public void Run()
    {
        var sink = new CountingSink();
        using var job = new JobRun(_plan, sink);
        ProgramEngine.Run(model, [job]);
        if (job.Error is { } error) throw new InvalidOperationException(error.Message);
        if (sink.Count != savedLayers + 1) throw new InvalidOperationException($"{sink.Count} of {savedLayers + 1} values came.");
    }

    /// <summary>The program of such a trace.</summary>
    public static Protocol.Program Record(LanguageModel llm, long[] prompt, int savedLayers)
    {
        using Trace trace = llm.Trace(prompt);
        for (int layer = 0; layer < savedLayers; layer++) llm.Layers[layer].Hidden.Save();
        llm.LmHead.Output.Save();
        return trace.ToProgram();
    }
}
