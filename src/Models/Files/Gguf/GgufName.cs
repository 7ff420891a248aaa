namespace Ndif.Models.Files.Gguf;

/// <summary>A tensor of llama.cpp and its name in Hugging Face's checkpoints, both without ".weight" or ".bias".</summary>
/// <param name="Gguf">"attn_q" of a block, or "token_embd" outside of the blocks.</param>
/// <param name="HuggingFace">
/// "self_attn.q_proj" of a layer, or "model.embed_tokens"; <c>{e}</c> is the number of an expert, whose matrices GGUF stacks.
/// </param>
/// <param name="IsTransposed">Hugging Face's weight is [inFeatures, outFeatures].</param>
internal sealed record GgufName(string Gguf, string HuggingFace, GgufRowOrder Rows = GgufRowOrder.Same, bool IsTransposed = false);
