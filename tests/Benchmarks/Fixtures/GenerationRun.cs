using Ndif.Engine;
using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>
/// A compiled generation from one token, run by the engine on the calling thread: one pass of one token for each new token.
/// </summary>
internal sealed class GenerationRun(HookedLanguageModel model, string folder, int newTokens)
{
    private static readonly int[] _prompt = [13];

    private readonly Plan _plan = Compiler.Compile(Record(folder, newTokens), model);

    public int Passes => newTokens;

    public void Run()
    {
        using var job = new JobRun(_plan, new CountingSink());
        ProgramEngine.Run(model, [job]);
        if (job.Error is { } error) throw new InvalidOperationException(error.Message);
        int encoded = model.Root.Names.Encoder.Length > 0 ? _prompt.Length : 0;
        if (job.TokenCount != newTokens + encoded)
            throw new InvalidOperationException($"{job.TokenCount} of {newTokens} passes were made.");
    }

    private static Protocol.Program Record(string folder, int newTokens)
    {
        var llm = new LanguageModel(folder);
        using Trace trace = llm.Generate(_prompt, maxNewTokens: newTokens, new() { IgnoreEos = true });
        trace.Result.Save();
        return trace.ToProgram();
    }
}
