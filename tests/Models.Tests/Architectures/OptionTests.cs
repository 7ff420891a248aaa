using System.Text;
using Ndif.Models.Architectures;
using Ndif.Models.Config;

namespace Ndif.Models.Tests.Architectures;

/// <summary>A config option that changes the computation is either supported or refused by its name; it is never ignored.</summary>
public sealed class OptionTests
{
    /// <summary>The last value of a repeated JSON key is used, so a test can append an option that the config already has.</summary>
    private static PreTrainedModel Build(string architecture, string more) =>
        ArchitectureCatalog.Build(ConfigReader.Parse(Encoding.UTF8.GetBytes(
        TinyConfigs.LikeLlama(architecture, 2, more.Length == 0 ? "" : ", " + more)), "config.json"));

    [Theory]
    [InlineData("LlamaForCausalLM", "\"hidden_act\": \"xielu\"", "hidden_act")]
    [InlineData("GemmaForCausalLM", "\"use_bidirectional_attention\": true", "use_bidirectional_attention")]
    [InlineData("Gemma2ForCausalLM", "\"layer_types\": [\"full_attention\", \"chunked_attention\"]", "layer_types")]
    [InlineData("Gemma3ForCausalLM", "\"use_bidirectional_attention\": true", "use_bidirectional_attention")]
    [InlineData("Gemma4ForCausalLM", "\"use_bidirectional_attention\": \"all\"", "use_bidirectional_attention")]
    [InlineData("Gemma4ForCausalLM", "\"num_kv_shared_layers\": 2", "num_kv_shared_layers")]
    [InlineData("Gemma4ForCausalLM", "\"num_kv_shared_layers\": 1", "num_kv_shared_layers")]
    [InlineData("Gemma4ForCausalLM", "\"attention_k_eq_v\": true, \"num_global_key_value_heads\": 3", "num_global_key_value_heads")]
    [InlineData("Gemma4ForCausalLM", "\"enable_moe_block\": true, \"num_experts\": 2, \"top_k_experts\": 3", "top_k_experts")]
    [InlineData("Gemma3nForCausalLM", "\"num_kv_shared_layers\": 15", "num_kv_shared_layers")]
    [InlineData("Gemma3nForCausalLM", "\"num_kv_shared_layers\": 0, \"altup_active_idx\": 4", "altup_active_idx")]
    [InlineData("Gemma3nForCausalLM", "\"num_kv_shared_layers\": 0, \"intermediate_size\": [8]", "intermediate_size")]
    [InlineData("Gemma3nForCausalLM", "\"num_kv_shared_layers\": 0, \"activation_sparsity_pattern\": [0.5, 1.0]",
        "activation_sparsity_pattern")]
    [InlineData("Qwen2ForCausalLM", "\"use_sliding_window\": true, \"layer_types\": [\"full_attention\", \"linear_attention\"]",
        "layer_types")]
    [InlineData("Qwen3ForCausalLM", "\"layer_types\": [\"full_attention\"]", "layer_types")]
    [InlineData("MistralForCausalLM", "\"num_attention_heads\": 6, \"hidden_size\": 24, \"num_key_value_heads\": 4", "num_key_value_heads")]
    [InlineData("GPTJForCausalLM", "\"n_embd\": 16, \"n_head\": 2, \"rotary_dim\": null", "rotary_dim")]
    [InlineData("GPTNeoForCausalLM", "\"num_layers\": 2, \"attention_types\": [[[\"global\", \"strided\"], 1]]", "attention_layers")]
    [InlineData("GPTNeoForCausalLM", "\"num_layers\": 2, \"attention_types\": [[\"global\", 1]]", "attention_types")]
    [InlineData("GPT2LMHeadModel", "\"n_embd\": 16, \"n_head\": 2, \"add_cross_attention\": true", "add_cross_attention")]
    [InlineData("BertForMaskedLM", "\"is_decoder\": true", "is_decoder")]
    [InlineData("RobertaModel", "\"add_cross_attention\": true", "add_cross_attention")]
    [InlineData("ElectraForPreTraining", "\"position_embedding_type\": \"relative_key\"", "position_embedding_type")]
    [InlineData("XLMRobertaForTokenClassification", "\"pad_token_id\": null", "pad_token_id")]
    [InlineData("RobertaForMaskedLM", "\"pad_token_id\": 63", "max_position_embeddings")]
    [InlineData("DistilBertModel", "\"dim\": 10, \"n_heads\": 4", "dim")]
    [InlineData("ModernBertForSequenceClassification", "\"classifier_pooling\": \"max\"", "classifier_pooling")]
    [InlineData("ModernBertModel", "\"hidden_size\": 12", "hidden_size")]
    [InlineData("DebertaV2Model", "\"relative_attention\": false", "relative_attention")]
    [InlineData("DebertaV2Model", "\"relative_attention\": true, \"conv_kernel_size\": 3", "conv_kernel_size")]
    [InlineData("DebertaV2Model", "\"relative_attention\": true, \"embedding_size\": 8", "embedding_size")]
    [InlineData("DebertaV2ForMaskedLM", "\"relative_attention\": true, \"legacy\": false", "legacy")]
    [InlineData("DebertaV2ForSequenceClassification", "\"relative_attention\": true, \"pooler_hidden_size\": 8", "pooler_hidden_size")]
    public void WhatIsNotSupported_IsNamed(string architecture, string more, string option) =>
        Assert.Contains($"`{option}`", Assert.Throws<CheckpointException>(() => Build(architecture, more)).Message,
            StringComparison.Ordinal);

    [Theory]
    [InlineData("MistralForCausalLM", "\"num_key_value_heads\": null", "model.layers.0.self_attn.k_proj",
        "in_features=16, out_features=16, bias=False")]
    [InlineData("Qwen2ForCausalLM", "\"num_key_value_heads\": null", "model.layers.0.self_attn.k_proj",
        "in_features=16, out_features=16, bias=True")]
    [InlineData("LlamaForCausalLM", "\"head_dim\": 6", "model.layers.0.self_attn.q_proj", "in_features=16, out_features=24, bias=False")]
    [InlineData("LlamaForCausalLM", "\"attention_bias\": true", "model.layers.0.self_attn.o_proj",
        "in_features=16, out_features=16, bias=True")]
    [InlineData("LlamaForCausalLM", "\"mlp_bias\": true", "model.layers.0.mlp.down_proj", "in_features=24, out_features=16, bias=True")]
    [InlineData("LlamaForCausalLM", "\"hidden_act\": \"gelu_10\"", "model.layers.0.mlp.act_fn", "")]
    [InlineData("PhiForCausalLM", "\"head_dim\": 6", "model.layers.0.self_attn.dense", "in_features=24, out_features=16, bias=True")]
    [InlineData("GPTNeoXForCausalLM", "\"attention_bias\": false", "gpt_neox.layers.0.attention.dense",
        "in_features=16, out_features=16, bias=False")]
    [InlineData("OPTForCausalLM", "\"ffn_dim\": 8, \"layer_norm_elementwise_affine\": false", "model.decoder.layers.0.final_layer_norm",
        "(16,), eps=1e-05, elementwise_affine=False, bias=False")]
    [InlineData("Starcoder2ForCausalLM", "\"use_bias\": false", "model.layers.0.mlp.c_fc", "in_features=16, out_features=24, bias=False")]
    public void WhatIsSupported_IsInTheTree(string architecture, string more, string path, string extra) =>
        Assert.Equal(extra, Build(architecture, more).Modules.Single(m => m.Path == path).ExtraRepr);

    public static TheoryData<string> Tieable => [.. ArchitectureCatalog.Names];

    /// <summary>In every architecture, the LM head has its own weight or that of the embedding, as the config specifies.</summary>
    [Theory]
    [MemberData(nameof(Tieable))]
    public void Heads_AreTiedOrNot(string architecture)
    {
        foreach (bool tied in (bool[])[true, false])
        {
            string config = TinyConfigs.OfArchitecture(architecture, $", \"tie_word_embeddings\": {(tied ? "true" : "false")}");
            PreTrainedModel model = ArchitectureCatalog.Build(ConfigReader.Parse(Encoding.UTF8.GetBytes(config), "config.json"));
            if (model.Names.LmHead.Length == 0) continue;
            SiteModule head = model.Modules.Single(m => m.Path == model.Names.LmHead),
                embed = model.Modules.Single(m => m.Path == model.Names.Embed);
            Assert.Equal(tied,
                ReferenceEquals(head.Parameters.First(p => p.Name == "weight"), embed.Parameters.First(p => p.Name == "weight")));
        }
    }
}
