using System.Text.Json;
using System.Xml.Linq;
using Ndif.Dictionaries;
using Ndif.Dictionaries.Attribution;

namespace Ndif.Language.Tests;

/// <summary>
/// Attribution graphs, compared with the frozen model that <see cref="FrozenGpt2"/> computes in double: there, an edge is the difference
/// that removing its source makes.
/// </summary>
public sealed class AttributionTests(ServiceFixture service) : LanguageTests(service)
{
    private static readonly AttributionOptions _options = new() { BatchSize = 7, MaxLogits = 3, LogitProbability = 0.9999 };

    [Theory]
    [InlineData(ExecutionMode.Local, SaeActivation.Relu), InlineData(ExecutionMode.Gateway, SaeActivation.Relu)]
    [InlineData(ExecutionMode.Local, SaeActivation.TopK), InlineData(ExecutionMode.Local, SaeActivation.Gated)]
    public async Task Edges_AreTheDifferencesOfTheFrozenModel_AndAddUpToTheLogits(ExecutionMode mode, SaeActivation activation)
    {
        LanguageModel llm = Model(mode);
        AttachedTranscoders transcoders = llm.AttachTranscoders(Transcoders(activation));
        AttributionGraph graph = await AttributionGraph.ComputeAsync(llm, transcoders, Paris, _options, cancellationToken: Cancel);
        FrozenGpt2 frozen = await FrozenGpt2.ReadAsync(llm, Paris, Cancel);
        AttributionNode[] nodes = [.. graph.Nodes];
        AttributionNode[] sources = [.. nodes.Where(node => node.Kind is not AttributionNodeKind.Logit)];
        Assert.Equal(8 + 4 * 8, sources.Count(node => node.Kind is not AttributionNodeKind.Feature));
        Assert.Contains(nodes, node => node is { Kind: AttributionNodeKind.Logit, Text: " Paris" });

        // what each source adds to the stream, and where
        FrozenGpt2.Sources whole = frozen.Measured;
        double[][] biases = [.. transcoders.Select(transcoder => transcoder.Sae.Weights.DecoderBias.ToArray<double>())];
        Dictionary<AttributionNode, double[]> parts = sources.ToDictionary(node => node, node => node.Kind switch
        {
            AttributionNodeKind.Feature => (transcoders[node.Layer].Sae.GetDirection(node.Index) * node.Value).ToArray<double>(),
            AttributionNodeKind.Embedding => whole.Embedding[node.Position],
            _ => [],
        });
        foreach (AttributionNode error in sources.Where(node => node.Kind is AttributionNodeKind.Error))
        {
            double[] rest = [.. whole.Outputs[error.Layer][error.Position]];
            for (int i = 0; i < rest.Length; i++) rest[i] -= biases[error.Layer][i];
            foreach (AttributionNode feature in sources.Where(n => n.Kind is AttributionNodeKind.Feature && n.Layer == error.Layer
                && n.Position == error.Position))
                for (int i = 0; i < rest.Length; i++) rest[i] -= parts[feature][i];
            parts[error] = rest;
        }

        FrozenGpt2.Reads all = frozen.Run(whole), none = frozen.Run(whole.Only(biases));
        Func<AttributionNode, FrozenGpt2.Reads, double> read = (target, reads) => target.Kind is AttributionNodeKind.Logit
            ? frozen.Logit(reads, target.Index) : Dot(reads.Mlp[target.Layer][target.Position],
                EncoderColumn(transcoders[target.Layer].Sae, target.Index));
        AttributionNode[] targets = [.. nodes.Where(node => node.Kind is AttributionNodeKind.Logit or AttributionNodeKind.Feature)
            .Where((node, i) => node.Kind is AttributionNodeKind.Logit || i % 9 == 0)];
        var random = new Random(1);
        int compared = 0;
        foreach (AttributionNode target in targets)
        {
            int at = Array.IndexOf(nodes, target);
            double sum = nodes.Select((_, source) => graph.GetWeight(source, at)).Sum();
            Assert.Equal(read(target, all) - read(target, none), sum, 5e-3); // the rest are biases
            foreach (AttributionNode source in sources.OrderBy(_ => random.Next()).Take(6))
            {
                FrozenGpt2.Reads without = frozen.Run(whole.Without(source, parts[source]));
                Assert.Equal(read(target, all) - read(target, without), graph.GetWeight(Array.IndexOf(nodes, source), at), 1e-3);
                compared++;
            }
        }
        Assert.True(compared > 100);
        Assert.Contains(graph.GetEdges(), edge => edge is
            { Source.Kind: AttributionNodeKind.Feature, Target.Kind: AttributionNodeKind.Feature }
            && edge.Source.Layer < edge.Target.Layer && Math.Abs(edge.Weight) > 1e-3);
        Assert.DoesNotContain(graph.GetEdges(),
            edge => edge.Source.Layer >= edge.Target.Layer || edge.Source.Position > edge.Target.Position);
    }

    [Fact]
    public async Task Pruning_KeepsTheInfluence_AndItsFilesAreThoseOfCircuitTracer()
    {
        LanguageModel llm = Model(ExecutionMode.Local);
        AttachedTranscoders transcoders = llm.AttachTranscoders(Transcoders(SaeActivation.TopK));
        AttributionGraph graph = await AttributionGraph.ComputeAsync(llm, transcoders, Paris, _options, cancellationToken: Cancel);
        PrunedGraph everything = graph.Prune(1, 1), some = graph.Prune(0.6, 0.9);
        Assert.InRange(some.Nodes.Count, 9, everything.Nodes.Count - 1);
        Assert.InRange(some.Edges.Count, 1, everything.Edges.Count - 1);
        HashSet<AttributionNode> kept = [.. some.Nodes];
        Assert.All(some.Edges, edge => Assert.True(kept.Contains(edge.Source) && kept.Contains(edge.Target)));
        Assert.All(some.Nodes.Where(node => node.Kind is AttributionNodeKind.Feature), node => Assert.True(
            some.Edges.Any(edge => edge.Source == node) && some.Edges.Any(edge => edge.Target == node)));
        Assert.Equal(8, some.Nodes.Count(node => node.Kind is AttributionNodeKind.Embedding));
        Assert.Throws<ArgumentOutOfRangeException>(() => graph.Prune(1.5));

        string folder = Directory.CreateTempSubdirectory("ndif-graphs-").FullName;
        try
        {
            some.WriteFiles(folder, "eiffel");
            some.WriteFiles(folder, "other");
            some.WriteFiles(folder, "eiffel");
            Assert.Throws<ArgumentException>(() => some.WriteFiles(folder, "../x"));
            using JsonDocument list = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "graph-metadata.json")));
            Assert.Equal(["other", "eiffel"],
                list.RootElement.GetProperty("graphs").EnumerateArray().Select(one => one.GetProperty("slug").GetString()));
            using JsonDocument json = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "eiffel.json")));
            JsonElement[] nodes = [.. json.RootElement.GetProperty("nodes").EnumerateArray()];
            HashSet<string?> ids = [.. nodes.Select(node => node.GetProperty("node_id").GetString())];
            Assert.Equal(nodes.Length, ids.Count);
            Assert.All(json.RootElement.GetProperty("links").EnumerateArray(), link => Assert.True(
                ids.Contains(link.GetProperty("source").GetString()) && ids.Contains(link.GetProperty("target").GetString())));
            JsonElement logit = Assert.Single(nodes, node => node.GetProperty("is_target_logit").GetBoolean());
            int paris = llm.Tokenizer.Encode(" Paris")[0];
            Assert.Equal($"5_{paris}_7", logit.GetProperty("node_id").GetString());
            Assert.Equal("5", logit.GetProperty("layer").GetString());
            Assert.StartsWith("Output \" Paris\" (p=0.", logit.GetProperty("clerp").GetString(), StringComparison.Ordinal);
            string[] keys = ["node_id", "feature", "layer", "ctx_idx", "feature_type", "token_prob", "is_target_logit", "run_idx",
                "reverse_ctx_idx", "jsNodeId", "clerp", "influence", "activation"];
            Assert.All(nodes, node => Assert.Equal(keys, node.EnumerateObject().Select(property => property.Name)));
            Assert.Equal(8, json.RootElement.GetProperty("metadata").GetProperty("prompt_tokens").GetArrayLength());
            File.WriteAllText(Path.Combine(folder, "graph-metadata.json"), "[");
            Assert.Throws<NdifException>(() => some.WriteFiles(folder, "eiffel"));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
        XElement svg = XDocument.Parse(some.ToSvg()).Root!;
        Assert.Equal(some.Nodes.Count, svg.Elements().Count(element => element.Name.LocalName == "g"));
        Assert.Equal(some.Edges.Count, svg.Elements().Count(element => element.Name.LocalName == "line"));
    }

    [Fact]
    public async Task FewerFeatures_AreThoseWithTheMostInfluence_AndWhatIsNotLinearIsRefused()
    {
        LanguageModel llm = Model(ExecutionMode.Local);
        AttachedTranscoders transcoders = llm.AttachTranscoders(Transcoders(SaeActivation.TopK));
        AttributionGraph all = await AttributionGraph.ComputeAsync(llm, transcoders, Paris, _options, cancellationToken: Cancel);
        List<(int, int)> progress = [];
        AttributionGraph few = await AttributionGraph.ComputeAsync(llm, transcoders, Paris,
            _options with { MaxFeatures = 20, IgnoredPositions = 1 }, progress: new Progress(progress.Add), cancellationToken: Cancel);
        AttributionNode[] features = [.. few.Nodes.Where(node => node.Kind is AttributionNodeKind.Feature)];
        Assert.Equal(20, features.Length);
        Assert.DoesNotContain(features, node => node.Position == 0);
        Assert.True(all.Nodes.Count > few.Nodes.Count);
        Assert.Equal(progress[^1].Item2, progress[^1].Item1);

        Sae normalized = new(transcoders[0].Sae.Config with { Normalization = SaeNormalization.LayerNorm }, Weights(0, SaeActivation.TopK));
        AttachedTranscoders wrong = llm.AttachTranscoders([normalized, .. transcoders.Skip(1).Select(t => t.Sae)]);
        await Assert.ThrowsAsync<BadProgramException>(() => AttributionGraph.ComputeAsync(llm, wrong, Paris, cancellationToken: Cancel));
        await Assert.ThrowsAnyAsync<NdifException>(() => AttributionGraph.ComputeAsync(llm, transcoders, "", cancellationToken: Cancel));
    }

    private sealed class Progress(Action<(int, int)> report) : IProgress<(int Done, int Total)>
    {
        public void Report((int Done, int Total) value) => report(value);
    }

    /// <summary>The direction that a feature reads.</summary>
    private static double[] EncoderColumn(Sae sae, int feature)
    {
        double[] encoder = sae.Weights.Encoder.ToArray<double>();
        double scale = sae.Weights.MagnitudeScale?.ToArray<double>()[feature] ?? 1;
        return [.. Enumerable.Range(0, sae.Config.InputSize).Select(i => encoder[i * sae.Config.Features + feature] * scale)];
    }

    private static double Dot(double[] a, double[] b) => a.Zip(b, (x, y) => x * y).Sum();

    private static Sae[] Transcoders(SaeActivation activation) => [.. Enumerable.Range(0, 4).Select(layer => new Sae(new SaeConfig
    {
        InputSize = 128, OutputSize = 128, Features = 24, IsTranscoder = true, Activation = activation, K = 4,
    }, Weights(layer, activation)))];

    private static Dictionary<string, TensorData> Weights(int layer, SaeActivation activation)
    {
        Dictionary<string, TensorData> weights = new()
        {
            ["W_enc"] = TensorData.Randn([128, 24], layer) * 0.1, ["W_dec"] = TensorData.Randn([24, 128], layer + 10) * 0.1,
            ["b_dec"] = TensorData.Randn([128], layer + 20) * 0.1,
        };
        foreach (string bias in activation is SaeActivation.Gated ? (string[])["b_gate", "b_mag", "r_mag"] : ["b_enc"])
            weights[bias] = TensorData.Randn([24], layer + 30) * 0.1;
        return weights;
    }
}
