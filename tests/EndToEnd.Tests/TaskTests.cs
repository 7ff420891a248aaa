using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

/// <summary>Models that are not causal language models, on a worker and in this process.</summary>
public sealed class TaskTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    private const string Bert = """
        { "architectures": ["BertForSequenceClassification"], "model_type": "bert", "vocab_size": 60, "hidden_size": 16,
          "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 32,
          "id2label": { "0": "a", "1": "b", "2": "c" } }
        """;

    private const string T5 = """
        { "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": 60, "d_model": 16, "d_kv": 8, "d_ff": 32,
          "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": false }
        """;

    private static readonly int[] _single = [2, 21, 3];

    [Fact]
    public async Task AClassifierAndAnEncoderDecoder_GiveTheSameHereAndOnAWorker()
    {
        await using IsolatedService own = await IsolatedService.StartAsync(Cluster);
        await WithProcessOutputAsync(own, async () =>
        {
            string bert = own.CreateRandomModel("bert", Bert), t5 = own.CreateRandomModel("t5", T5, "embed_tokens");
            await own.StartWorkerAsync("w1");
            foreach (string model in (string[])[bert, t5]) await own.RunModelsCommandAsync("deploy", model, "--wait");
            Assert.Equal(await ClassifyAsync(bert, Backend.Local), await ClassifyAsync(bert, own.Remote));
            Assert.Equal(await TranslateAsync(t5, Backend.Local), await TranslateAsync(t5, own.Remote));

            ServiceStatus status = await Status.GetAsync(own.Remote, Cancel);
            Assert.Equal([ModelTask.SequenceClassification, ModelTask.Seq2SeqLm],
                new[] { bert, t5 }.Select(model => status.Models.Single(served => served.Id == model).Task));
            Assert.Equal(["a", "b", "c"], new SequenceModel(bert, remote: own.Remote).Labels);
            NdifException refused = Assert.ThrowsAny<NdifException>(() => new LanguageModel(bert, remote: own.Remote).Layers);
            Assert.Equal(ErrorCode.BadArgument, refused.Code);
        });
    }

    /// <summary>The checksums of an experiment with a pair of texts, an edit and a gradient.</summary>
    private static async Task<string[]> ClassifyAsync(string path, Backend backend)
    {
        var model = new SequenceModel(path, remote: backend);
        var pair = new TokenInput(TensorData.FromArray([2L, 11, 3, 12, 13, 3], 1, 6), null,
            TensorData.FromArray([0L, 0, 0, 1, 1, 1], 1, 6));
        using Trace t = model.Trace(grad: true);
        Saved first, logits, other, gradient = null!;
        using (t.Invoke(pair))
        {
            Value hidden = model.Layers[0].Hidden;
            hidden[.., 1] *= 2;
            first = model.Layers[^1].Hidden[.., 0].Save();
            logits = model.Logits.Save();
            t.Backward(logits[0, 1], () => gradient = hidden.Grad.Save());
        }
        using (t.Invoke(_single)) other = model.Logits.Save();
        await t.RunAsync(Cancel);
        return [.. new[] { first, logits, other, gradient }.Select(saved => saved.Tensor.Checksum())];
    }

    /// <summary>The checksums of a generation of two rows of different lengths, an edit and cross attention at each step.</summary>
    private static async Task<string[]> TranslateAsync(string path, Backend backend)
    {
        var model = new LanguageModel(path, remote: backend);
        using Trace t = model.Generate(new int[][] { [5, 6, 7, 8], [9, 4] }, maxNewTokens: 4, new() { IgnoreEos = true });
        ValueList patterns = t.List();
        Saved saved = patterns.Save();
        model.EncoderLayers[0].Hidden[.., 0] *= 2;
        foreach (int _ in t.Iter[..]) patterns.Append(model.Layers[0].CrossAttn.Output[1]);
        Saved ids = t.Result.Save();
        await t.RunAsync(Cancel);
        return [.. ((IEnumerable<object?>)saved.Result!).Cast<TensorData>().Append(ids.Tensor).Select(tensor => tensor.Checksum())];
    }
}
