namespace Ndif.Workbench.Experiments;

/// <summary>
/// Steering (Turner et al., 2023; Rimsky et al., 2024): the mean difference between a layer's hidden states at the ends of two lists of
/// prompts is a direction, which is added to the layer at every step of a generation.
/// </summary>
internal static class SteeringExperiment
{
    private const string Output = """
        Console.WriteLine($"direction: norm {norm.Item<float>():0.000}");
        Console.WriteLine($"as it is: {llm.Tokenizer.Decode(plain)}");
        Console.WriteLine($"steered:  {llm.Tokenizer.Decode(steered)}");
        """;

    /// <summary>The program of the page.</summary>
    public static string Show(
        string model, string[] toward, string[] awayFrom, string prompt, int layer, double strength, int maxNewTokens) =>
        ProgramText.Create(nameof(SteeringExperiment), model,
            [
                (nameof(toward), toward), (nameof(awayFrom), awayFrom), (nameof(prompt), prompt), (nameof(layer), layer),
                (nameof(strength), strength), (nameof(maxNewTokens), maxNewTokens),
            ], Output);

    /// <summary>Generates without and with the direction, side by side in one pass.</summary>
    /// <param name="toward">Prompts whose hidden states the direction leads to.</param>
    /// <param name="awayFrom">As many prompts that it leads away from.</param>
    /// <param name="onToken">Receives each new token: invoke 0 is as it is, 1 steered.</param>
    /// <returns>The length of the direction, and the texts of the two generations.</returns>
    public static async Task<(float Norm, string Plain, string Steered)> RunAsync(
        LanguageModel llm, string[] toward, string[] awayFrom, string prompt, int layer, double strength, int maxNewTokens, Run run,
        Action<GeneratedToken> onToken)
    {
        CancellationToken cancellationToken = run.Cancellation;
        // program
        using var session = llm.Session(); // both traces are one job
        Value direction; // [hidden]
        Saved norm, plain, steered;
        using (llm.Trace(toward.Concat(awayFrom).ToArray()))
        {
            Value ends = llm.Layers[layer].Hidden[.., ^1]; // [prompts, hidden]
            direction = ends[..toward.Length].Mean(0) - ends[toward.Length..].Mean(0);
            norm = direction.Norm().Save();
        }
        using (var t = llm.Generate(maxNewTokens: maxNewTokens))
        {
            // end
            t.OnToken = onToken;
            // program
            using (t.Invoke(prompt)) plain = t.Result.Save(); // [1, prompt + new]
            using (t.Invoke(prompt))
            {
                t.Iter.Each(step => llm.Layers[layer].Hidden += strength * direction);
                steered = t.Result.Save();
            }
        }
        // end
        run.Watch(session);
        // program
        await session.RunAsync(cancellationToken);
        // end
        return (norm.Item<float>(), llm.Tokenizer.Decode(plain, true), llm.Tokenizer.Decode(steered, true));
    }
}
