using System.Text.Json;

namespace Ndif.Activations.Tests.Support;

/// <summary>What tests collect, and how they compare collections.</summary>
internal static class Collected
{
    public const string ModelId = "ndif/tiny-landmarks", Site = "transformer.h.1.hidden";

    public static CancellationToken Cancel => TestContext.Current.CancellationToken;

    /// <summary>Texts of 1 to 30 words of the model, different from each other.</summary>
    public static string[] Texts(int count, int seed = 1)
    {
        string[] words =
            ["The", "Eiffel", "Tower", "is", "in", "the", "city", "of", "Paris", "Rome", "Big", "Ben", "London", "and", "Colosseum"];
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(i =>
            $"{i} {string.Join(' ', Enumerable.Range(0, 1 + random.Next(30)).Select(_ => words[random.Next(words.Length)]))}")];
    }

    /// <summary>The rows of a collection by text and position: the token and the values at a site.</summary>
    public static Dictionary<(long Text, int Position), (int Token, float[] Values)> ReadRows(
        string folder, string site = Site, int? seed = null)
    {
        Dictionary<(long, int), (int, float[])> rows = [];
        foreach (ActivationBatch batch in SafetensorsActivations.Open(folder).Read(100, [site], seed))
        {
            float[] values = batch[site].ToArray<float>();
            int width = values.Length / batch.Rows;
            for (int i = 0; i < batch.Rows; i++)
                rows.Add((batch.Texts.Span[i], batch.Positions.Span[i]), (batch.Tokens.Span[i], values[(i * width)..((i + 1) * width)]));
        }
        return rows;
    }

    /// <summary>The names and checksums of the shards, in order.</summary>
    public static string[] Checksums(string folder) => [.. File.ReadLines(Path.Combine(folder, "index.jsonl")).Select(line =>
    {
        JsonElement shard = JsonDocument.Parse(line).RootElement;
        return $"{shard.GetProperty("file").GetString()} {shard.GetProperty("sha256").GetString()}";
    })];

    /// <summary>Asserts that the values are those of each text alone in the model.</summary>
    public static async Task AssertAreOfModelAsync(
        TransformersModel model, IReadOnlyList<int[]> texts, Dictionary<(long Text, int Position), (int Token, float[] Values)> rows,
        string site = Site, int firstPosition = 0)
    {
        Assert.Equal(texts.Sum(tokens => Math.Max(0, tokens.Length - firstPosition)), rows.Count);
        for (int text = 0; text < texts.Count; text++)
        {
            if (texts[text].Length == 0) continue;
            Saved alone = await model.TraceAsync(texts[text], _ => model.GetValue(site).Save(), Backend.Local, cancellationToken: Cancel);
            float[] expected = alone.ToArray<float>();
            int width = expected.Length / texts[text].Length;
            for (int position = firstPosition; position < texts[text].Length; position++)
            {
                (int token, float[] values) = rows[(text, position)];
                Assert.Equal(texts[text][position], token);
                Assert.Equal(width, values.Length);
                for (int i = 0; i < width; i++) Assert.Equal(expected[(position * width) + i], values[i], 1e-4f);
            }
        }
    }
}

/// <summary>Calls a function with each report, on the thread that reports.</summary>
internal sealed class OnProgress(Action<CollectProgress> onReport) : IProgress<CollectProgress>
{
    public void Report(CollectProgress value) => onReport(value);
}
