using System.Globalization;
using Tokenizers.DotNet;

namespace Ndif.Tokenizers.Tests.Differential;

/// <summary>Compares what patterns match with the Rust library, which uses Oniguruma. NDIF_FUZZ multiplies the number of texts.</summary>
public sealed class PatternDifferentialTests
{
    private static int Effort => int.Parse(Environment.GetEnvironmentVariable("NDIF_FUZZ") ?? "1", CultureInfo.InvariantCulture);

    private static int TextsPerPattern => 20 * Effort;

    [Fact]
    public void PublishedPatterns_AreAllRead()
    {
        foreach (string pattern in PublishedPatterns.Published.Where(pattern => pattern != PublishedPatterns.RefusedByOniguruma))
            HuggingFaceTokenizer.FromJson(TestTokenizers.Utf8(PatternTokenizer.FilesOf(pattern)[0]));
    }

    [Fact]
    public void Patterns_MatchTheSameText()
    {
        List<string> differences = [];
        foreach (string pattern in PublishedPatterns.All)
            foreach (string json in PatternTokenizer.FilesOf(pattern))
                if (Compare(pattern, json, RandomText.Next) is { } difference)
                    differences.Add(difference);
        Assert.True(differences.Count == 0, string.Join('\n', differences));
    }

    [Fact]
    public void RandomPatterns_MatchTheSameText()
    {
        List<string> differences = [];
        for (int seed = 0; seed < 60 * Effort; seed++)
        {
            string pattern = new RandomPattern(new Random(seed)).Next();
            foreach (string json in PatternTokenizer.FilesOf(pattern))
                if (Compare(pattern, json, RandomText.Next) is { } difference)
                    differences.Add($"seed {seed}: {difference}");
        }
        Assert.True(differences.Count == 0, string.Join('\n', differences.Take(20)));
    }

    [Fact]
    public void ScriptsOfUnicode_SplitTheSameText()
    {
        string json = PatternTokenizer.WithPreTokenizer("""
            {"type":"Sequence","pretokenizers":[{"type":"UnicodeScripts"},
            {"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":false}]}
            """);
        Assert.Null(Compare("UnicodeScripts", json, RandomText.NextFragments));
    }

    /// <summary>Returns the first difference, or null.</summary>
    private static string? Compare(string pattern, string json, Func<Random, string> next)
    {
        using var rust = Try(() => new RustTokenizer(json), out _);
        if (rust is null) return null; // no published file has it
        var ours = Try(() => HuggingFaceTokenizer.FromJson(TestTokenizers.Utf8(json)), out string? error);
        if (ours is null) return KnownRefusals.Contains(error!) ? null : $"{pattern}: {error}";
        var random = new Random(7);
        for (int i = 0; i < TextsPerPattern; i++)
        {
            string text = next(random);
            int[]? expected = Try(() => rust.Encode(text), out _), actual = Try(() => ours.Encode(text).ToArray(), out _);
            if (expected is null || actual is null || !expected.SequenceEqual(actual))
                return $"{pattern} on {text}: {string.Join(',', expected ?? [])}, ours {string.Join(',', actual ?? [])}";
        }
        return null;
    }

    private static T? Try<T>(Func<T> run, out string? error) where T : class
    {
        error = null;
        try
        {
            return run();
        }
        catch (Exception e) when (e is TokenizerException or TokenizerFormatException)
        {
            error = e.Message;
            return null;
        }
    }
}
