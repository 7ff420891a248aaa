using System.Globalization;
using System.Text.Json.Nodes;
using Tokenizers.DotNet;

namespace Ndif.Tokenizers.Tests.Differential;

/// <summary>Compares our tokenizers with Hugging Face's Rust library. NDIF_FUZZ multiplies the number of tokenizers.</summary>
public sealed class DifferentialTests
{
    private const int TextsPerTokenizer = 30;

    private static int Effort => int.Parse(Environment.GetEnvironmentVariable("NDIF_FUZZ") ?? "1", CultureInfo.InvariantCulture);

    [Fact]
    public void RandomTokenizers_GiveTheIdsAndTextsOfTheRustLibrary()
    {
        List<string> differences = [];
        int compared = 0;
        for (int seed = 0; seed < 120 * Effort; seed++)
        {
            var random = new Random(seed);
            var root = new RandomTokenizer(random).Next();
            compared += Compare(seed, root, random, differences);
            // The library adds special tokens always: without a post-processor and special tokens, it shows the other half.
            root["post_processor"] = null;
            foreach (var token in root["added_tokens"]!.AsArray()) token!["special"] = false;
            compared += Compare(seed, root, random, differences);
        }
        Assert.True(differences.Count == 0, $"{differences.Count} differences\n{string.Join('\n', differences.Take(20))}");
        Assert.True(compared > 3000 * Effort, $"only {compared} texts were compared");
    }

    /// <summary>Compares a tokenizer on random texts and returns the number of texts that both accept.</summary>
    private static int Compare(int seed, JsonObject root, Random random, List<string> differences)
    {
        string json = root.ToJsonString();
        RustTokenizer rust;
        try
        {
            rust = new RustTokenizer(json);
        }
        catch (TokenizerException)
        {
            return 0;
        }
        using var _ = rust;
        HuggingFaceTokenizer ours;
        try
        {
            ours = HuggingFaceTokenizer.FromJson(TestTokenizers.Utf8(json));
        }
        catch (TokenizerFormatException e)
        {
            if (!KnownRefusals.Contains(e.Message)) differences.Add($"seed {seed}: {e.Message}");
            return 0;
        }
        // The library decodes a normalized token to its normalized text since version 0.23; the package has 0.22.
        var normalized = root["added_tokens"]!.AsArray().Where(token => root["normalizer"] is not null && (bool)token!["normalized"]!)
            .Select(token => ours.TokenToId((string)token!["content"]!)).ToHashSet();
        int compared = 0;
        for (int i = 0; i < TextsPerTokenizer; i++)
        {
            string text = RandomText.Next(random);
            int[]? expected = Try(() => rust.Encode(text)), actual = Try(() => ours.Encode(text).ToArray());
            if (expected is null && actual is null) continue;
            if (expected is null || actual is null || !expected.SequenceEqual(actual))
            {
                differences.Add($"seed {seed}: {Show(text)} -> {Show(expected)}, ours {Show(actual)}");
                break;
            }
            compared++;
            int[] ids = random.Next(2) == 0 ? expected
                : [.. Enumerable.Range(0, random.Next(12)).Select(_ => random.Next(ours.VocabularySize + 2))];
            ids = [.. ids.Where(id => !normalized.Contains(id))];
            string? expectedText = Try(() => rust.Decode(ids)), actualText = Try(() => ours.Decode(ids, skipSpecialTokens: true));
            if (expectedText != actualText)
            {
                differences.Add($"seed {seed}: decode {Show(ids)} -> {Show(expectedText)}, ours {Show(actualText)}");
                break;
            }
        }
        return compared;
    }

    private static T? Try<T>(Func<T> run) where T : class
    {
        try
        {
            return run();
        }
        catch (Exception e) when (e is TokenizerException or TokenizerFormatException)
        {
            return null;
        }
    }

    private static string Show(object? value) => System.Text.Json.JsonSerializer.Serialize(value);
}
