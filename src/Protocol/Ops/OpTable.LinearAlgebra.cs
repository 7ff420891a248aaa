namespace Ndif.Protocol.Ops;

// Products and decompositions. linalg_x is PyTorch's torch.linalg.x.
// One row an operation, in PyTorch's own schema language (native_functions.yaml); see OpSchema.Parse for the added types.
public static partial class OpTable
{
    private const string LinearAlgebra = """
        matmul(Tensor self, Tensor other) -> Tensor
        mm(Tensor self, Tensor mat2) -> Tensor
        bmm(Tensor self, Tensor mat2) -> Tensor
        mv(Tensor self, Tensor vec) -> Tensor
        dot(Tensor self, Tensor other) -> Tensor
        inner(Tensor self, Tensor other) -> Tensor
        outer(Tensor self, Tensor vec2) -> Tensor
        kron(Tensor self, Tensor other) -> Tensor
        cross(Tensor self, Tensor other, int dim=-1) -> Tensor
        einsum(str equation, Tensor[] tensors) -> Tensor
        tensordot(Tensor self, Tensor other, Any dims=2) -> Tensor
        addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor
        addmv(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1) -> Tensor
        baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor
        trace(Tensor self) -> Tensor
        matrix_exp(Tensor self) -> Tensor
        cdist(Tensor x1, Tensor x2, float p=2.0) -> Tensor
        linalg_norm(Tensor self, Any ord=None, int[]? dim=None, bool keepdim=False) -> Tensor
        linalg_vector_norm(Tensor self, Scalar ord=2, int[]? dim=None, bool keepdim=False) -> Tensor
        linalg_matrix_norm(Tensor self, Any ord='fro', int[] dim=[-2,-1], bool keepdim=False) -> Tensor
        linalg_svd(Tensor A, bool full_matrices=True) -> (Tensor U, Tensor S, Tensor Vh)
        linalg_svdvals(Tensor A) -> Tensor
        linalg_qr(Tensor A, str mode='reduced') -> (Tensor Q, Tensor R)
        linalg_eigh(Tensor self, str UPLO='L') -> (Tensor eigenvalues, Tensor eigenvectors)
        linalg_eigvalsh(Tensor self, str UPLO='L') -> Tensor
        linalg_cholesky(Tensor self) -> Tensor
        linalg_inv(Tensor A) -> Tensor
        linalg_pinv(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False) -> Tensor
        linalg_solve(Tensor A, Tensor B) -> Tensor
        linalg_lstsq(Tensor self, Tensor b) -> (Tensor solution, Tensor residuals, Tensor rank, Tensor singular_values)
        linalg_det(Tensor A) -> Tensor
        linalg_slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet)
        linalg_matrix_rank(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False) -> Tensor
        linalg_matrix_power(Tensor self, int n) -> Tensor
        """;
}
