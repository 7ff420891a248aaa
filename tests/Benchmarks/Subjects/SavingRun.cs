using Ndif.Engine;
using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Subjects;
using Ndif.Protocol;

namespace Ndif.Benchmarks.Subjects;

/// <summary>A compiled trace of one prompt that saves the hidden states of some layers, run by the engine on the calling thread.</summary>
internal sealed class SavingRun(LanguageSubject subject, string folder, long[] prompt, int saves)
{
    private readonly Plan _plan = Compiler.Compile(Record(folder, prompt, saves), subject);

    public void Run()
    {
        var sink = new Counted();
        using var job = new JobRun(_plan, sink);
        ProgramEngine.Run(subject, [job]);
        if (job.Error is { } error) throw new InvalidOperationException(error.Message);
        if (sink.Count != saves) throw new InvalidOperationException($"{sink.Count} of {saves} values came.");
    }

    private static Protocol.Program Record(string folder, long[] prompt, int saves)
    {
        var llm = new LanguageModel(folder);
        using Trace trace = llm.Trace(prompt);
        for (int layer = 0; layer < saves; layer++) llm.Layers[layer].Hidden.Save();
        return trace.ToProgram();
    }
}
