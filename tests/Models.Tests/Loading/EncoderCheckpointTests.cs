using Ndif.Models.Loading;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Tests.Loading;

/// <summary>The forms of encoders on the hub: the names of the first checkpoints, heads of a pretraining, no prefix.</summary>
public sealed class EncoderCheckpointTests : IDisposable
{
    private readonly TempFolder _folder = new(), _other = new();

    public void Dispose()
    {
        _folder.Dispose();
        _other.Dispose();
    }

    /// <summary>bert-base-uncased: LayerNorm.gamma and beta, the pooler and the head for pairs of sentences, ids of positions.</summary>
    [Fact]
    public void TheFirstBert_IsRead()
    {
        string config = TinyConfigs.Of("BertForMaskedLM", 2);
        TinyModel.Write(_folder, config);
        TinyModel.Write(_other, config, change: weights =>
        {
            foreach (string name in weights.Keys.Where(name => name.Contains("LayerNorm", StringComparison.Ordinal)).ToList())
                if (weights.Remove(name, out Tensor? norm))
                    weights[name.Replace("Norm.weight", "Norm.gamma", StringComparison.Ordinal)
                        .Replace("Norm.bias", "Norm.beta", StringComparison.Ordinal)] = norm;
            weights["bert.pooler.dense.weight"] = randn(16, 16);
            weights["cls.seq_relationship.weight"] = randn(2, 16);
            weights["cls.predictions.decoder.weight"] = weights["bert.embeddings.word_embeddings.weight"].clone();
            weights["bert.embeddings.position_ids"] = arange(64).unsqueeze(0);
        });
        AssertSame();
    }

    [Theory]
    [InlineData("Bert", "bert")]
    [InlineData("Roberta", "roberta")]
    [InlineData("DistilBert", "distilbert")]
    [InlineData("ModernBert", "model")]
    [InlineData("DebertaV2", "deberta")]
    public void ABaseModel_IsReadFromACheckpointWithAHead(string family, string prefix)
    {
        TinyModel.Write(_folder, TinyConfigs.Of($"{family}Model", 2));
        TinyModel.Write(_other, TinyConfigs.Of($"{family}ForMaskedLM", 2)
            .Replace("ForMaskedLM", "Model", StringComparison.Ordinal), change: weights =>
        {
            foreach (string name in weights.Keys.ToList())
                if (weights.Remove(name, out Tensor? weight)) weights[$"{prefix}.{name}"] = weight;
            weights[family is "DistilBert" ? "vocab_transform.weight" : family is "ModernBert" ? "head.dense.weight"
                : family is "Roberta" ? "lm_head.dense.weight" : "cls.predictions.transform.dense.weight"] = randn(16, 16);
        });
        AssertSame();
    }

    [Theory]
    [InlineData("BertForMaskedLM", "bert.")]
    [InlineData("DistilBertForTokenClassification", "distilbert.")]
    [InlineData("XLMRobertaForMaskedLM", "roberta.")]
    public void ThePrefixOfTheEncoder_MayBeMissing(string architecture, string prefix)
    {
        string config = TinyConfigs.Of(architecture, 2);
        TinyModel.Write(_folder, config);
        TinyModel.Write(_other, config, change: weights =>
        {
            foreach (string name in weights.Keys.Where(name => name.StartsWith(prefix, StringComparison.Ordinal)).ToList())
                if (weights.Remove(name, out Tensor? weight)) weights[name[prefix.Length..]] = weight;
        });
        AssertSame();
    }

    [Theory]
    [InlineData("bert", "BertForMaskedLM", ModelTask.MaskedLm)]
    [InlineData("xlm-roberta", "XLMRobertaForMaskedLM", ModelTask.MaskedLm)]
    [InlineData("electra", "ElectraForPreTraining", ModelTask.TokenClassification)]
    [InlineData("deberta-v2", "DebertaV2Model", ModelTask.FeatureExtraction)]
    public void AConfigWithoutAClass_IsThatOfItsModelType(string modelType, string architecture, ModelTask task)
    {
        string config = TinyConfigs.Of(architecture, 1);
        TinyModel.Write(_folder, config.Replace($"[\"{architecture}\"]", $"[\"SomethingElse\"], \"model_type\": \"{modelType}\"",
            StringComparison.Ordinal));
        using LoadedModel model = TinyModel.Load(_folder.Path);
        Assert.Equal((architecture, task), (model.Root.ClassName, model.Description.Task));
    }

    /// <summary>A RoBERTa's first token is behind the row of the padding, so its longest row is shorter than its table.</summary>
    [Fact]
    public void ALongestRow_FitsTheTable()
    {
        TinyModel.Write(_folder, TinyConfigs.Of("RobertaForMaskedLM", 1)); // pad_token_id 0, 64 rows
        using LoadedModel model = TinyModel.Load(_folder.Path);
        using var scope = NewDisposeScope();
        Assert.Equal(63u, model.Description.ContextLength);
        Assert.Equal([1, 63, TinyModel.VocabSize], TinyModel.Logits(model, TinyModel.Ids(1, 63, 1)).shape);
    }

    private void AssertSame()
    {
        using var scope = NewDisposeScope();
        using LoadedModel expected = TinyModel.Load(_folder.Path), actual = TinyModel.Load(_other.Path);
        Tensor ids = TinyModel.Ids(2, 6, 1);
        Assert.Equal(0, TinyModel.Difference(TinyModel.Logits(expected, ids), TinyModel.Logits(actual, ids)));
    }
}
