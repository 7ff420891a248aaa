using System.Text.Json;
using Ndif.Dictionaries;
using Ndif.Dictionaries.Dashboards;

namespace Ndif.Language.Tests;

/// <summary>Dashboards of features, compared with activations and products that the test computes text by text.</summary>
public sealed class DashboardTests(ServiceFixture service) : LanguageTests(service)
{
    private static readonly string[] _texts = [Paris, Rome, NewYork, "", "Big Ben is in the city of", Paris + " Paris"];

    [Theory, InlineData(ExecutionMode.Local), InlineData(ExecutionMode.Gateway)]
    public async Task Dashboards_AreWhatTheTextsGive(ExecutionMode mode)
    {
        using SaeFolder folder = new("topk", new() { ["k"] = 6 });
        LanguageModel llm = Model(mode);
        AttachedSae sae = llm.AttachSae(folder.Path);
        var options = new DashboardOptions { Features = [3, 40, 17], Examples = 2, Context = 2, Logits = 4, BatchSize = 4 };
        List<int> progress = [];
        FeatureDashboards dashboards = await FeatureDashboards.ComputeAsync(llm, sae, _texts, options,
            progress: new SynchronousProgress(progress.Add), cancellationToken: Cancel);
        Assert.Equal([1, 2, 3, 4, 5, 6], progress);

        float[][][] activations = new float[_texts.Length][][];
        for (int text = 0; text < _texts.Length; text++)
        {
            if (_texts[text].Length == 0) { activations[text] = []; continue; }
            Saved features = await llm.TraceAsync(_texts[text], _ => sae.Encode()[0].Save(), cancellationToken: Cancel);
            activations[text] = [.. features.ToArray<float>().Chunk(SaeFolder.Features)];
        }
        long tokens = activations.Sum(text => text.Length);
        Assert.Equal(tokens, dashboards.Tokens);
        Assert.Equal([3, 40, 17], dashboards.Features.Select(dashboard => dashboard.Feature));
        (Saved norm, Saved output) = await llm.TraceAsync(Paris,
            _ => (llm.FinalNorm.Parameter("weight").Save(), llm.LmHead.Parameter("weight").Save()), cancellationToken: Cancel);
        double[] gain = norm.ToArray<double>(), head = output.ToArray<double>();
        foreach (FeatureDashboard dashboard in dashboards.Features)
        {
            float[][] ofFeature = [.. activations.Select(text => text.Select(token => token[dashboard.Feature]).ToArray())];
            Assert.Equal((double)ofFeature.Sum(text => text.Count(value => value > 0)) / tokens, dashboard.Density, 1e-9);
            Assert.Equal(ofFeature.Sum(text => text.Count(value => value > 0)), dashboard.Histogram.Counts.Sum());
            Assert.Equal(ofFeature.SelectMany(text => text).Max(), dashboard.MaxActivation, 1e-3);
            double[] best =
                [.. ofFeature.Select(text => (double)text.DefaultIfEmpty().Max()).Where(value => value > 0).OrderDescending().Take(2)];
            Assert.Equal(best.Length, dashboard.Examples.Count);
            for (int i = 0; i < best.Length; i++)
            {
                ActivationExample example = dashboard.Examples[i];
                Assert.Equal(best[i], example.Activation, 1e-3);
                Assert.Equal(ofFeature[example.Text][example.Position], example.Activation, 1e-3);
                Assert.InRange(example.Tokens.Count, 1, 5);
                string[] all = [.. llm.Tokenizer.Encode(_texts[example.Text]).Select(id => llm.Tokenizer.Decode(id))];
                Assert.Equal(all.Skip(example.First).Take(example.Tokens.Count), example.Tokens);
                Assert.Equal(example.Activation, example.Activations[example.Position - example.First]);
            }
            double[] direction = sae.Sae.GetDirection(dashboard.Feature).ToArray<double>();
            double mean = direction.Average();
            double[] effects =
                [.. head.Chunk(direction.Length).Select(row => row.Select((w, i) => w * gain[i] * (direction[i] - mean)).Sum())];
            Func<double, double, bool> isNear = (a, b) => Math.Abs(a - b) < 1e-3;
            Assert.Equal(effects.OrderDescending().Take(4), dashboard.Raised.Select(logit => logit.Effect), isNear);
            Assert.Equal(effects.Order().Take(4), dashboard.Lowered.Select(logit => logit.Effect), isNear);
            Assert.All(dashboard.Raised, logit => Assert.Equal(llm.Tokenizer.Decode([logit.Id]), logit.Token));
        }

        using JsonDocument json = JsonDocument.Parse(dashboards.ToJson());
        JsonElement first = json.RootElement.GetProperty("features")[0];
        Assert.Equal(3, first.GetProperty("feature").GetInt32());
        Assert.Equal(dashboards.Features[0].Raised[0].Token, first.GetProperty("raised")[0].GetProperty("token").GetString());
        string html = dashboards.ToHtml();
        Assert.Contains("<section id=\"feature-40\">", html, StringComparison.Ordinal);
        Assert.DoesNotContain("<script", html, StringComparison.Ordinal);
        Assert.DoesNotContain("http", html, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AFeatureThatDoesNotExist_IsAnError_AndAHeadsDirectionHasNoLogits()
    {
        using SaeFolder folder = new("standard", new()
        {
            ["metadata"] = new Dictionary<string, object?> { ["hook_name"] = "blocks.0.attn.hook_z" },
        });
        LanguageModel llm = Model(ExecutionMode.Local);
        AttachedSae sae = llm.AttachSae(folder.Path);
        var wrong = await Assert.ThrowsAsync<BadProgramException>(() => FeatureDashboards.ComputeAsync(
            llm, sae, _texts, new DashboardOptions { Features = [99] }, cancellationToken: Cancel));
        Assert.Contains("There is no feature 99", wrong.Message, StringComparison.Ordinal);
        FeatureDashboards dashboards = await FeatureDashboards.ComputeAsync(llm, sae, [Paris],
            new DashboardOptions { Features = [1] }, cancellationToken: Cancel);
        Assert.Empty(dashboards.Features[0].Raised);
    }

    [Fact]
    public async Task AHostileText_IsNoMarkup()
    {
        using SaeFolder folder = new("standard", []);
        LanguageModel llm = Model(ExecutionMode.Local);
        AttachedSae sae = llm.AttachSae(folder.Path);
        FeatureDashboards dashboards = await FeatureDashboards.ComputeAsync(llm, sae, ["<script>alert(1)</script> & \"quoted\""],
            new DashboardOptions { Features = [.. Enumerable.Range(0, 8)] }, cancellationToken: Cancel);
        Assert.DoesNotContain("<script", dashboards.ToHtml(), StringComparison.Ordinal);
    }

    private sealed class SynchronousProgress(Action<int> report) : IProgress<int>
    {
        public void Report(int value) => report(value);
    }
}
