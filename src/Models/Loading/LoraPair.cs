namespace Ndif.Models.Loading;

/// <summary>The change that an adapter makes to the weight of one module: scaling · B A.</summary>
/// <param name="Module">The path in the tree: "transformer.h.0.attn.c_attn".</param>
/// <param name="A">The name of the tensor A, [rank, inFeatures], in the file.</param>
/// <param name="B">The name of the tensor B, [outFeatures, rank].</param>
/// <param name="IsEmbedding">The module is an embedding, whose input features are its entries.</param>
internal sealed record LoraPair(string Module, string A, string B, bool IsEmbedding, int Rank, double Scaling);
