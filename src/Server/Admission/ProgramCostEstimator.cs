using Ndif.Protocol;
using Ndif.Protocol.Messages;
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
        Generation? defaults = ReadDefaults(program, model);
        ulong tokens = 0, passes = 0;
        foreach (Node node in program.Nodes)
        {
            if (node.KindCase == Node.KindOneofCase.Backward) passes += 2; // a backward pass costs about two forward passes
            if (node.KindCase != Node.KindOneofCase.Trace || node.Trace.Mode == Mode.Scan) continue;
            ulong read = 0, generated = 0, steps = 1;
            foreach (Invoke invoke in node.Trace.Invokes)
            {
                if (invoke.Input is not { } input) continue;
                foreach (ulong count in GetTokenCounts(input)) read += count;
                ulong ownSteps = GetStepCount(node.Trace, invoke, defaults);
                generated += (ulong)Math.Max(1, input.Prompts.Count + input.Tokens.Count) * (ownSteps - 1);
                steps = Math.Max(steps, ownSteps);
            }
            tokens += (read + generated) * GetSequencesPerPrompt(node.Trace, defaults);
            passes += steps;
        }
        (ulong result, ulong peak) = ProgramMemoryEstimator.Estimate(program, model);
        return new Estimate { Tokens = tokens, Passes = (uint)Math.Min(passes, uint.MaxValue), ResultBytes = result, PeakBytes = peak };
    }

    /// <summary>Returns the number of tokens of each row.</summary>
    public static IEnumerable<ulong> GetTokenCounts(Input input) =>
        input.Prompts.Select((prompt, i) => (ulong)(1 + (prompt.Length + LengthOfPair(input, i)) / CharactersPerToken))
            .Concat(input.Tokens.Select(row => (ulong)row.Ids.Count));

    private static int LengthOfPair(Input input, int prompt) => prompt < input.Pairs.Count ? input.Pairs[prompt].Length : 0;

    /// <summary>The options of generations that the model's files set; null if they are not known, or if the program needs none.</summary>
    public static Generation? ReadDefaults(Program program, ModelDescription? model)
    {
        if (model is null || !program.Nodes.Any(node => node.Trace is { Mode: Mode.Generate })) return null;
        try
        {
            return GenerationDefaults.Read(model).Options;
        }
        catch (NdifException)
        {
            return null; // the run reports what is wrong with the files
        }
    }

    /// <summary>Returns the number of steps of an invoke: one, or the maximum number of new tokens of a generation.</summary>
    /// <param name="defaults">The options of the model's files.</param>
    public static ulong GetStepCount(Trace trace, Invoke invoke, Generation? defaults) => trace.Mode != Mode.Generate ? 1
        : GetFirst(options => options.HasMaxNewTokens, invoke.Generation, trace.Generation, defaults) is { } found
            ? Math.Max(1, found.MaxNewTokens) : GenerationDefaults.DefaultMaxNewTokens;

    /// <summary>Returns the number of sequences per prompt: the beams, or the returned sequences.</summary>
    /// <param name="defaults">The options of the model's files.</param>
    public static ulong GetSequencesPerPrompt(Trace trace, Generation? defaults)
    {
        if (trace.Mode != Mode.Generate) return 1;
        uint beams = GetFirst(options => options.HasBeams, trace.Generation, defaults)?.Beams ?? 1;
        return Math.Max(1, beams > 1 ? beams
            : GetFirst(options => options.HasReturnSequences, trace.Generation, defaults)?.ReturnSequences ?? 1);
    }

    /// <summary>The first options that set one; those of the model's files, the last, only where no other forbids them.</summary>
    private static Generation? GetFirst(Func<Generation, bool> isSet, params ReadOnlySpan<Generation?> options)
    {
        foreach (Generation? candidate in options[..^1])
            if (candidate is not null && isSet(candidate)) return candidate;
        foreach (Generation? candidate in options[..^1])
            if (candidate is { HasUseModelDefaults: true, UseModelDefaults: false }) return null;
        return options[^1] is { } defaults && isSet(defaults) ? defaults : null;
    }

    /// <summary>Returns the cost that advances the owner's virtual time, in units of one token; at least 1.</summary>
    public static double ComputeCost(Estimate estimate) =>
        Math.Max(1, (double)estimate.Tokens + (double)estimate.Passes * TokensPerPass);
}
