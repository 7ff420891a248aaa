using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Server.Admission;

/// <summary>
/// Estimates the work of a program without a tokenizer and without running it: tokens read and generated, forward passes, bytes saved and
/// needed (<see cref="ProgramMemoryEstimator"/>). Text counts as one token per four characters, which is typical of English with a BPE
/// vocabulary; a trace inside a loop counts once. The estimate is good enough for fair sharing, not for billing.
/// </summary>
internal static class ProgramCostEstimator
{
    private const int CharactersPerToken = 4;

    /// <summary>
    /// The fixed cost of a pass in tokens: a pass reads all weights, however few tokens it has.
    /// </summary>
    private const int TokensPerPass = 32;

    /// <param name="model">The description of the model; if it is null, only the bytes of the constants are estimated.</param>
    public static Estimate Estimate(Program program, ModelDescription? model = null)
    {
        ulong tokens = 0, passes = 0;
        foreach (Node node in program.Nodes)
        {
            if (node.KindCase == Node.KindOneofCase.Backward) passes += 2; // a backward pass costs about two forward passes
            if (node.KindCase != Node.KindOneofCase.Trace || node.Trace.Mode == Mode.Scan) continue;
            ulong read = 0, rows = 0;
            foreach (TraceInvoke invoke in node.Trace.Invokes)
            {
                if (invoke.Input is not { } input) continue;
                foreach (ulong count in GetTokenCounts(input)) read += count;
                rows += (ulong)Math.Max(1, input.Prompts.Count + input.Tokens.Count);
            }
            ulong steps = GetStepCount(node.Trace), copies = GetSequencesPerPrompt(node.Trace);
            read *= copies;
            rows *= copies;
            tokens += read + rows * (steps - 1);
            passes += steps;
        }
        (ulong result, ulong peak) = ProgramMemoryEstimator.Estimate(program, model);
        return new Estimate { Tokens = tokens, Passes = (uint)Math.Min(passes, uint.MaxValue), ResultBytes = result, PeakBytes = peak };
    }

    /// <summary>Returns the number of tokens of each row.</summary>
    public static IEnumerable<ulong> GetTokenCounts(Input input) =>
        input.Prompts.Select(prompt => (ulong)(1 + prompt.Length / CharactersPerToken))
            .Concat(input.Tokens.Select(row => (ulong)row.Ids.Count));

    /// <summary>Returns the number of steps of a trace: one, or the maximum number of new tokens of a generation.</summary>
    public static ulong GetStepCount(TraceNode trace) => trace.Mode != Mode.Generate ? 1
        : trace.Generation is { HasMaxNewTokens: true } generation ? Math.Max(1, generation.MaxNewTokens)
        : GenerationDefaults.DefaultMaxNewTokens;

    /// <summary>Returns the number of sequences per prompt: the beams, or the returned sequences.</summary>
    public static ulong GetSequencesPerPrompt(TraceNode trace) => trace is not { Mode: Mode.Generate, Generation: { } options } ? 1
        : Math.Max(1, options is { HasBeams: true, Beams: > 1 } ? options.Beams : options.ReturnSequences);

    /// <summary>Returns the cost that advances the owner's virtual time, in units of one token; at least 1.</summary>
    public static double ComputeCost(Estimate estimate) =>
        Math.Max(1, (double)estimate.Tokens + (double)estimate.Passes * TokensPerPass);
}
