namespace Ndif.Models.Config;

/// <summary>The sizes of multi-head latent attention.</summary>
/// <param name="QueryRank">q_lora_rank; null if queries are projected directly.</param>
/// <param name="KvRank">kv_lora_rank, the size of the latent of keys and values.</param>
/// <param name="NopeDim">qk_nope_head_dim, the dimensions of a head that positions do not rotate.</param>
/// <param name="RopeDim">qk_rope_head_dim, the rotated dimensions, which all heads of keys share.</param>
/// <param name="ValueDim">v_head_dim</param>
/// <remarks>DeepSeek-AI, DeepSeek-V2, 2024, section 2.1; transformers/models/deepseek_v3/configuration_deepseek_v3.py</remarks>
public sealed record LatentAttentionConfig(int? QueryRank, int KvRank, int NopeDim, int RopeDim, int ValueDim)
{
    public int QkDim => NopeDim + RopeDim;

    /// <param name="queryRank">The default of q_lora_rank.</param>
    /// <param name="nopeDim">The default of qk_nope_head_dim.</param>
    /// <param name="valueDim">The default of v_head_dim.</param>
    public static LatentAttentionConfig Read(ConfigReader json, int queryRank = 1536, int nopeDim = 128, int valueDim = 128) => new(
        json.IsNull("q_lora_rank") ? null : json.Size("q_lora_rank", queryRank), json.Size("kv_lora_rank", 512),
        json.Size("qk_nope_head_dim", nopeDim), json.Size("qk_rope_head_dim", 64), json.Size("v_head_dim", valueDim));
}
