using System.Runtime.CompilerServices;
using Ndif.Protocol;

namespace Ndif.Dictionaries.Dashboards;

/// <summary>
/// Dashboards of the features of a dictionary: where they are active in a set of texts, how often, and which logits they change (Bricken et
/// al., 2023).
/// <code>
///   FeatureDashboards dashboards = await FeatureDashboards.ComputeAsync(llm, sae, texts);
///   File.WriteAllText("features.html", dashboards.ToHtml());
/// </code>
/// </summary>
public sealed class FeatureDashboards
{
    private FeatureDashboards(string name, long tokens, IReadOnlyList<FeatureDashboard> features) =>
        (Name, Tokens, Features) = (name, tokens, features);

    /// <summary>The path of the dictionary in the model.</summary>
    public string Name { get; }

    /// <summary>The number of tokens of the texts.</summary>
    public long Tokens { get; }

    /// <summary>The dashboards, in the order of <see cref="DashboardOptions.Features"/>.</summary>
    public IReadOnlyList<FeatureDashboard> Features { get; }

    /// <summary>Runs a model over texts, and computes the dashboards of a dictionary that is attached to it.</summary>
    /// <param name="remote">Where it runs; null for where the model's traces run.</param>
    /// <param name="progress">Receives the number of texts that are done.</param>
    public static Task<FeatureDashboards> ComputeAsync(LanguageModel model, AttachedSae sae, IEnumerable<string> texts,
        DashboardOptions? options = null, Backend? remote = null, IProgress<int>? progress = null,
        CancellationToken cancellationToken = default) =>
        ComputeAsync(model, sae, CollectAsync(model, sae, texts, options, remote, cancellationToken), options, remote, progress,
            cancellationToken);

    /// <summary>Computes dashboards from activations that were collected before.</summary>
    /// <param name="activations">One for each text, with a column for each of the features of the options.</param>
    /// <param name="remote">Where the effects on logits are computed; null for where the model's traces run.</param>
    /// <param name="progress">Receives the number of texts that are done.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT: there is no such feature. SHAPE_MISMATCH: the activations are of others.</exception>
    public static async Task<FeatureDashboards> ComputeAsync(LanguageModel model, AttachedSae sae,
        IAsyncEnumerable<FeatureActivations> activations, DashboardOptions? options = null, Backend? remote = null,
        IProgress<int>? progress = null, CancellationToken cancellationToken = default)
    {
        options ??= new DashboardOptions();
        int[] features = GetFeatures(sae, options);
        FeatureStatistics[] statistics = [.. features.Select(_ => new FeatureStatistics(options.Examples, options.Context))];
        long tokens = 0;
        int text = 0;
        await foreach (FeatureActivations one in activations.WithCancellation(cancellationToken))
        {
            if (one.Values.Shape is not [var seq, var columns] || seq != one.Tokens.Count || columns != features.Length)
                throw Errors.CreateException(ErrorCode.ShapeMismatch, $"The activations of text {text} have the shape "
                    + $"[{string.Join(", ", one.Values.Shape.ToArray())}]; expected is [{one.Tokens.Count}, {features.Length}].");
            float[] values = one.Values.ToArray<float>(), column = new float[seq];
            for (int feature = 0; feature < features.Length; feature++)
            {
                for (int position = 0; position < column.Length; position++)
                    column[position] = values[position * features.Length + feature];
                statistics[feature].Add(text, one.Tokens, column);
            }
            tokens += seq;
            progress?.Report(++text);
        }
        (TokenLogit[] Raised, TokenLogit[] Lowered)[] logits =
            await LogitEffects.ComputeAsync(model, sae, features, options.Logits, remote, cancellationToken);
        return new FeatureDashboards(sae.Module.Path, tokens, [.. features.Select((feature, i) => new FeatureDashboard
        {
            Feature = feature, Density = statistics[i].GetDensity(tokens), MaxActivation = statistics[i].MaxActivation,
            Histogram = statistics[i].Histogram, Examples = statistics[i].GetExamples(id => model.Tokenizer.Decode(id)),
            Raised = logits[i].Raised, Lowered = logits[i].Lowered,
        })]);
    }

    /// <summary>The activations of the features of the options over texts, some texts in one pass.</summary>
    public static async IAsyncEnumerable<FeatureActivations> CollectAsync(LanguageModel model, AttachedSae sae, IEnumerable<string> texts,
        DashboardOptions? options = null, Backend? remote = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        options ??= new DashboardOptions();
        int[] features = GetFeatures(sae, options);
        foreach (string[] batch in texts.Chunk(Math.Max(1, options.BatchSize)))
        {
            foreach (FeatureActivations one in await CollectBatchAsync(model, sae, batch, features, remote, cancellationToken))
                yield return one;
        }
    }

    private static async Task<IReadOnlyList<FeatureActivations>> CollectBatchAsync(LanguageModel model, AttachedSae sae, string[] texts,
        int[] features, Backend? remote, CancellationToken cancellationToken)
    {
        int[][] tokens = [.. texts.Select(text => model.Tokenizer.Encode(text).ToArray())];
        var saved = new Saved?[texts.Length];
        if (tokens.Any(ids => ids.Length > 0))
        {
            using Trace trace = model.Trace(remote: remote);
            for (int i = 0; i < texts.Length; i++)
            {
                if (tokens[i].Length == 0) continue;
                using Invoke invoke = trace.Invoke(tokens[i]);
                saved[i] = sae.Encode()[0][Idx.Ellipsis, features].To(DType.Float32).Save(); // [seq, features]
            }
            await trace.RunAsync(cancellationToken);
        }
        return [.. tokens.Select((ids, i) => new FeatureActivations(ids, saved[i]?.Tensor ?? TensorData.Zeros([0, features.Length])))];
    }

    /// <summary>The dashboards as JSON.</summary>
    public string ToJson() => DashboardJson.Write(this);

    /// <summary>The dashboards as a page that needs no other file.</summary>
    public string ToHtml() => DashboardPage.Write(this);

    private static int[] GetFeatures(AttachedSae sae, DashboardOptions options)
    {
        int count = sae.Sae.Config.Features;
        int[] features = options.Features is { } some ? [.. some] : [.. Enumerable.Range(0, count)];
        int wrong = Array.FindIndex(features, feature => feature < 0 || feature >= count);
        return wrong < 0 ? features : throw Errors.CreateException(ErrorCode.BadArgument,
            $"There is no feature {features[wrong]}: there are {count}, from 0 on.");
    }
}
