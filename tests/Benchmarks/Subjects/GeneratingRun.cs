using Ndif.Engine;
using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Subjects;

namespace Ndif.Benchmarks.Subjects;

/// <summary>A compiled generation from one token, run by the engine on the calling thread: as many passes of one token as new tokens.</summary>
internal sealed class GeneratingRun(LanguageSubject subject, string folder, int newTokens)
{
    private static readonly int[] s_prompt = [13];

    private readonly Plan _plan = Compiler.Compile(Record(folder, newTokens), subject);

    public int Passes => newTokens;

    public void Run()
    {
        using var job = new JobRun(_plan, new Counted());
        ProgramEngine.Run(subject, [job]);
        if (job.Error is { } error) throw new InvalidOperationException(error.Message);
        if (job.Tokens != newTokens) throw new InvalidOperationException($"{job.Tokens} of {newTokens} passes were made.");
    }

    private static Protocol.Program Record(string folder, int newTokens)
    {
        var llm = new LanguageModel(folder);
        using Trace trace = llm.Generate(s_prompt, maxNewTokens: newTokens, ignoreEos: true);
        trace.Result.Save();
        return trace.ToProgram();
    }
}
