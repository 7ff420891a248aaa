namespace Ndif.Protocol.Ops;

// The same elements in another shape, and what the shape is. Views where PyTorch gives views.
// One row an operation, in PyTorch's own schema language (native_functions.yaml); see OpSchema.Parse for the added types.
public static partial class OpTable
{
    private const string Shapes = """
        view(Tensor self, int[] size) -> Tensor
        reshape(Tensor self, int[] shape) -> Tensor
        view_as(Tensor self, Tensor other) -> Tensor
        reshape_as(Tensor self, Tensor other) -> Tensor
        transpose(Tensor self, int dim0, int dim1) -> Tensor
        t(Tensor self) -> Tensor
        # the last two dimensions exchanged
        mT(Tensor self) -> Tensor
        permute(Tensor self, int[] dims) -> Tensor
        movedim(Tensor self, int[] source, int[] destination) -> Tensor
        squeeze(Tensor self, int[]? dim=None) -> Tensor
        unsqueeze(Tensor self, int dim) -> Tensor
        expand(Tensor self, int[] size) -> Tensor
        expand_as(Tensor self, Tensor other) -> Tensor
        broadcast_to(Tensor self, int[] size) -> Tensor
        repeat(Tensor self, int[] repeats) -> Tensor
        tile(Tensor self, int[] dims) -> Tensor
        repeat_interleave(Tensor self, Any repeats, int? dim=None) -> Tensor
        flatten(Tensor self, int start_dim=0, int end_dim=-1) -> Tensor
        unflatten(Tensor self, int dim, int[] sizes) -> Tensor
        unfold(Tensor self, int dimension, int size, int step) -> Tensor
        cat(Tensor[] tensors, int dim=0) -> Tensor
        stack(Tensor[] tensors, int dim=0) -> Tensor
        hstack(Tensor[] tensors) -> Tensor
        vstack(Tensor[] tensors) -> Tensor
        # one number: parts of that size; a list: these sizes
        split(Tensor self, int[] split_size, int dim=0) -> Tensor[]
        tensor_split(Tensor self, int[] indices_or_sections, int dim=0) -> Tensor[]
        chunk(Tensor self, int chunks, int dim=0) -> Tensor[]
        unbind(Tensor self, int dim=0) -> Tensor[]
        narrow(Tensor self, int dim, int start, int length) -> Tensor
        select(Tensor self, int dim, int index) -> Tensor
        diagonal(Tensor self, int offset=0, int dim1=0, int dim2=1) -> Tensor
        flip(Tensor self, int[] dims) -> Tensor
        roll(Tensor self, int[] shifts, int[]? dims=None) -> Tensor
        pad(Tensor self, int[] pad, str mode='constant', float value=0.0) -> Tensor
        contiguous(Tensor self) -> Tensor
        clone(Tensor self) -> Tensor
        detach(Tensor self) -> Tensor
        # the sizes, as a list of numbers
        shape(Tensor self) -> Any
        size(Tensor self, int? dim=None) -> Any
        numel(Tensor self) -> int
        dim(Tensor self) -> int
        # of a tensor's first dimension, a list, a tuple or a map
        len(Any self) -> int
        """;
}
