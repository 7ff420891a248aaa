namespace Ndif.Models.Loading;

/// <summary>A tensor of an adapter that takes the place of one of the model's own: of a trained module, an embedding or a bias.</summary>
/// <param name="Module">The path in the tree: "lm_head".</param>
/// <param name="Parameter">"weight", "bias"</param>
/// <param name="Tensor">The name in the file: "base_model.model.lm_head.base_layer.weight".</param>
/// <param name="IsCopy">
/// The module has a copy of its own, as those of modules_to_save have. Otherwise the tensor replaces the parameter in every module that
/// shares it.
/// </param>
internal sealed record AdapterWeight(string Module, string Parameter, string Tensor, bool IsCopy)
{
    /// <summary>"lm_head.weight"</summary>
    public string Path => $"{Module}.{Parameter}";
}
